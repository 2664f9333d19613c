/* A link between two network namespaces: packets of one come out in the other, later.
 *
 *     link NAMESPACE_A NAMESPACE_B DELAY_US RATE_BYTES QUEUE_BYTES
 *
 * Each namespace gets a TUN device, "link0" (Linux, Documentation/networking/tuntap.rst). A packet
 * waits until those before it have left at RATE_BYTES a second (0: no limit), and DELAY_US more. At
 * a limited rate, packets over QUEUE_BYTES of waiting ones are dropped, as by a router. Nothing is
 * reordered. It says "ready" once both devices are there. A line on its standard input, "cut" or
 * "join", cuts the link or joins it again: all that is on its way or sent meanwhile is lost. It
 * ends with its standard input.
 *
 * Without a limit the devices take up to 64 KiB of one connection in one piece, as network cards
 * with segmentation offload do (TSO), each with a head of its own (struct virtio_net_hdr): so a
 * packet costs the tenth of what it would cost alone, and the two ends have the processor.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST = 65536 + 64, READS = 64 };

struct packet {
    struct packet *next;
    int64_t due; /* ns */
    int size;
    unsigned char data[];
};

struct direction {
    int from, to;
    int64_t idle; /* when the last packet has left the queue, ns */
    struct packet *first, *last;
};

static int64_t delay, rate, queue;
static int cut;

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int open_device(const char *namespace)
{
    char path[256];
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | (rate ? 0 : IFF_VNET_HDR)};
    snprintf(path, sizeof path, "/var/run/netns/%s", namespace);
    int there = open(path, O_RDONLY);
    if (there < 0 || setns(there, CLONE_NEWNET))
        fail(path);
    close(there);
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (device < 0)
        fail("/dev/net/tun");
    strcpy(request.ifr_name, "link0");
    if (ioctl(device, TUNSETIFF, &request))
        fail("TUNSETIFF");
    if (!rate && ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4))
        fail("TUNSETOFFLOAD");
    return device;
}

static void take_in(struct direction *way)
{
    static unsigned char data[LARGEST];
    for (int reads = 0; reads < READS; reads++) {
        ssize_t size = read(way->from, data, sizeof data);
        if (size <= 0)
            return;
        if (cut)
            continue;
        int64_t time = now();
        if (way->idle < time)
            way->idle = time;
        if (rate) {
            if ((way->idle - time) * rate / 1000000000 > queue)
                continue;
            way->idle += size * 1000000000LL / rate;
        }
        struct packet *packet = malloc(sizeof *packet + size);
        if (!packet)
            fail("malloc");
        packet->next = NULL;
        packet->due = way->idle + delay;
        packet->size = size;
        memcpy(packet->data, data, size);
        if (way->last)
            way->last->next = packet;
        else
            way->first = packet;
        way->last = packet;
    }
}

/* Return when the next packet is due, -1 if none waits. */
static int64_t give_out(struct direction *way)
{
    while (way->first && (cut || way->first->due <= now())) {
        struct packet *packet = way->first;
        /* A device that is not up refuses it. */
        if (!cut && write(way->to, packet->data, packet->size) < 0 && errno != EIO)
            fail("write");
        way->first = packet->next;
        if (!way->first)
            way->last = NULL;
        free(packet);
    }
    return way->first ? way->first->due : -1;
}

/* Return whether there was a command; it is one read, since the other side waits for the answer. */
static int obey(void)
{
    char line[16];
    ssize_t size = read(0, line, sizeof line);
    if (size <= 0)
        return 0;
    cut = line[0] == 'c';
    puts("done");
    fflush(stdout);
    return 1;
}

int main(int count, char **arguments)
{
    if (count != 6)
        return 2;
    delay = atoll(arguments[3]) * 1000;
    rate = atoll(arguments[4]);
    queue = atoll(arguments[5]);
    /* What is freed is used again, and not given back to the system in between. */
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    int a = open_device(arguments[1]), b = open_device(arguments[2]);
    struct direction ways[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
    prctl(PR_SET_TIMERSLACK, 1000UL);
    puts("ready");
    fflush(stdout);
    struct pollfd waits[3] = {{a, POLLIN, 0}, {b, POLLIN, 0}, {0, POLLIN, 0}};
    for (;;) {
        int64_t next = -1;
        for (int way = 0; way < 2; way++) {
            take_in(&ways[way]);
            int64_t due = give_out(&ways[way]);
            if (due >= 0 && (next < 0 || due < next))
                next = due;
        }
        struct timespec wait = {0, 0}, *timeout = NULL;
        if (next >= 0) {
            int64_t left = next - now();
            if (left > 0) {
                wait.tv_sec = left / 1000000000;
                wait.tv_nsec = left % 1000000000;
            }
            timeout = &wait;
        }
        ppoll(waits, 3, timeout, NULL);
        if (waits[2].revents && !obey())
            return 0;
    }
}

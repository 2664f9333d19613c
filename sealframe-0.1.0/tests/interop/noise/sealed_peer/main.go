// An echo peer of the sealed protocol, written from docs/PROTOCOL.md with a Noise library
// that shares no code with sealframe. It listens for one client or connects to one server,
// echoes every message, and prints what it saw as JSON.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/flynn/noise"
)

// What the test wants.
type options struct {
	pattern
	context  string
	psk      []byte
	static   []byte
	remote   []byte
	segments []int
	closing  int
}

// What the test gets.
type report struct {
	Hash            string `json:"hash"`
	PeerStatic      string `json:"peer_static"`
	ClientID        string `json:"client_id"`
	MaxFrame        uint32 `json:"max_frame"`
	Messages        uint64 `json:"messages"`
	Pongs           int    `json:"pongs"`
	RecordsSent     uint64 `json:"records_sent"`
	RecordsReceived uint64 `json:"records_received"`
	CloseCode       uint16 `json:"close_code"`
	CloseReason     string `json:"close_reason"`
	FramesCounted   uint64 `json:"frames_counted"`
}

// Writes what is buffered before it waits for more.
type flushingReader struct {
	conn   net.Conn
	writer *bufio.Writer
}

func (f flushingReader) Read(p []byte) (int, error) {
	if err := f.writer.Flush(); err != nil {
		return 0, err
	}
	return f.conn.Read(p)
}

type peer struct {
	options
	conn      *net.TCPConn
	reader    *bufio.Reader
	writer    *bufio.Writer
	client    bool
	sending   *noise.CipherState
	receiving *noise.CipherState
	plaintext []byte
	segment   int
	report    report
}

func newPeer(conn *net.TCPConn, client bool, opts options) *peer {
	writer := bufio.NewWriter(conn)
	reader := bufio.NewReader(flushingReader{conn, writer})
	return &peer{options: opts, conn: conn, reader: reader, writer: writer, client: client}
}

func (p *peer) run() error {
	defer p.conn.Close()
	err := p.doHandshake()
	if err == nil {
		err = p.greet()
	}
	if err == nil {
		err = p.echo()
	}
	return err
}

func key(text string) []byte {
	raw, err := hex.DecodeString(text)
	if err != nil {
		log.Fatal(err)
	}
	return raw
}

func main() {
	log.SetFlags(0)
	name := flag.String("pattern", "", "NNpsk0, XK or XX")
	port := flag.Int("connect", 0, "connect to this port; otherwise listen, and print the port")
	psk := flag.String("psk", "", "the shared key, in hex")
	static := flag.String("static", "", "the private key, in hex")
	remote := flag.String("remote", "", "the server's public key, in hex")
	segments := flag.String("segments", "65519", "sizes of the plaintexts of records, in turn")
	var opts options
	flag.StringVar(&opts.context, "context", "", "the context")
	flag.IntVar(&opts.closing, "close-after", 0, "send CLOSE after so many messages")
	flag.Parse()
	var known bool
	if opts.pattern, known = patterns[*name]; !known {
		log.Fatalf("no pattern %q", *name)
	}
	opts.psk, opts.static, opts.remote = key(*psk), key(*static), key(*remote)
	for _, text := range strings.Split(*segments, ",") {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 || size > maxRecord-16 {
			log.Fatalf("a record cannot hold %s bytes", text)
		}
		opts.segments = append(opts.segments, size)
	}
	var conn net.Conn
	var err error
	if *port != 0 {
		conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	} else {
		var listener net.Listener
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			log.Fatal(err)
		}
		fmt.Println(listener.Addr().(*net.TCPAddr).Port)
		conn, err = listener.Accept()
	}
	if err != nil {
		log.Fatal(err)
	}
	peer := newPeer(conn.(*net.TCPConn), *port != 0, opts)
	if err := peer.run(); err != nil {
		log.Fatal(err)
	}
	json.NewEncoder(os.Stdout).Encode(peer.report)
}

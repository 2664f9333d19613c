using System;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Threading.Tasks;

namespace PacketExample
{
    /// <summary>Sends each line of its input as a packet and prints each packet as a line.</summary>
    public static class Client
    {
        private const int ExitDone = 0;
        private const int ExitConnection = 1;
        private const int ExitUsage = 2;
        private const int ExitPacket = 3;
        private const int ExitTooFew = 4;

        private const double DefaultPatience = 10;
        private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(200);
        private static readonly TimeSpan ShortestAttempt = TimeSpan.FromSeconds(1);

        public static void Main(string[] args)
        {
            // Not a return from Main: at that, Mono 6.8 sometimes waits up to a minute
            // for an idle thread of its pool.
            Environment.Exit(Run(args));
        }

        private static int Run(string[] args)
        {
            ushort port = 0;
            int expected = 0;
            double patience = DefaultPatience;
            if (args.Length < 2 || args.Length > 4
                || !ushort.TryParse(args[1], out port) || port == 0
                || (args.Length > 2 && (!int.TryParse(args[2], out expected) || expected < 0))
                || (args.Length > 3 && !TryParseSeconds(args[3], out patience)))
            {
                Console.Error.WriteLine("usage: Client.exe HOST PORT [PACKETS [SECONDS]]");
                Console.Error.WriteLine("  PACKETS  end after this many came; 0, the default, is when the server closes");
                Console.Error.WriteLine("  SECONDS  how long to try to connect, at most a day; 10 by default");
                return ExitUsage;
            }
            Console.InputEncoding = Packet.Text;
            Console.OutputEncoding = Packet.Text;
            try
            {
                return RunAsync(args[0], port, expected, patience).GetAwaiter().GetResult();
            }
            catch (PacketException error)
            {
                Console.Error.WriteLine("packet refused: " + error.Message);
                return ExitPacket;
            }
            catch (Exception error) when (error is IOException || error is SocketException)
            {
                Console.Error.WriteLine("connection lost: " + error.Message);
                return ExitConnection;
            }
        }

        private static bool TryParseSeconds(string text, out double seconds)
        {
            return double.TryParse(
                    text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out seconds)
                && seconds <= 24 * 60 * 60;
        }

        private static async Task<int> RunAsync(
            string host, int port, int expected, double patience)
        {
            TcpClient client = await ConnectAsync(host, port, TimeSpan.FromSeconds(patience));
            if (client == null)
                return ExitConnection;
            using (client)
            {
                client.NoDelay = true;
                NetworkStream stream = client.GetStream();
                // Both directions run at the same time: a client that sends all it has
                // before it reads waits for ever once the buffers of both ends are full.
                Task<int> receiving = ReceiveAsync(stream, expected);
                // A read of the console blocks its thread, so it gets one of the pool's.
                Task sending = Task.Run(() => SendLinesAsync(client.Client, stream));
                if (await Task.WhenAny(sending, receiving) == sending)
                    await sending;

                int received = await receiving;
                if (received < expected)
                {
                    Console.Error.WriteLine(
                        "the server closed after " + received + " of " + expected + " packets");
                    return ExitTooFew;
                }
                return ExitDone;
            }
        }

        private static async Task SendLinesAsync(Socket socket, NetworkStream stream)
        {
            try
            {
                string line;
                while ((line = Console.In.ReadLine()) != null)
                    await Packet.WriteAsync(stream, Packet.Text.GetBytes(line));
                // The half-close: we send no more, and go on reading.
                socket.Shutdown(SocketShutdown.Send);
            }
            catch (Exception error) when (error is IOException || error is SocketException)
            {
                // The receiver finds out how the connection ended, and what came before.
            }
        }

        private static async Task<int> ReceiveAsync(NetworkStream stream, int expected)
        {
            int received = 0;
            byte[] data;
            while ((expected == 0 || received < expected)
                && (data = await Packet.ReadAsync(stream)) != null)
            {
                Console.Out.WriteLine(Packet.Text.GetString(data));
                Console.Out.Flush();
                received++;
            }
            return received;
        }

        private static async Task<TcpClient> ConnectAsync(string host, int port, TimeSpan patience)
        {
            Stopwatch waited = Stopwatch.StartNew();
            bool told = false;
            while (true)
            {
                string failure;
                try
                {
                    return await ConnectOnceAsync(host, port, patience - waited.Elapsed);
                }
                catch (SocketException error)
                {
                    failure = error.Message;
                }
                if (waited.Elapsed + RetryDelay > patience)
                {
                    Console.Error.WriteLine(
                        "cannot connect to " + host + " port " + port + ": " + failure);
                    return null;
                }
                if (!told)
                    Console.Error.WriteLine("waiting for " + host + " port " + port);
                told = true;
                await Task.Delay(RetryDelay);
            }
        }

        private static async Task<TcpClient> ConnectOnceAsync(
            string host, int port, TimeSpan timeout)
        {
            if (timeout < ShortestAttempt)
                timeout = ShortestAttempt;
            var failure = new SocketException((int)SocketError.HostNotFound);
            foreach (IPAddress address in await Dns.GetHostAddressesAsync(host))
            {
                // A socket whose connect has failed cannot be used again.
                var client = new TcpClient(address.AddressFamily);
                Task connecting = client.ConnectAsync(address, port);
                await Task.WhenAny(connecting, Task.Delay(timeout));
                if (connecting.Status == TaskStatus.RanToCompletion)
                    return client;
                client.Close();
                failure = connecting.IsFaulted
                    ? connecting.Exception.InnerException as SocketException ?? failure
                    : new SocketException((int)SocketError.TimedOut);
            }
            throw failure;
        }
    }
}

using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Threading.Tasks;

namespace PacketExample
{
    /// <summary>Gives each client a number and echoes its packets with that number before them.</summary>
    public static class Server
    {
        private const int ExitDone = 0;
        private const int ExitListen = 1;
        private const int ExitUsage = 2;
        private const int ExitPacket = 3;

        private static volatile bool refusedOne;

        public static void Main(string[] args)
        {
            // Not a return from Main: at that, Mono 6.8 sometimes waits up to a minute
            // for an idle thread of its pool.
            Environment.Exit(Run(args));
        }

        private static int Run(string[] args)
        {
            IPAddress address;
            ushort port;
            int clients = 0;
            if (args.Length < 2 || args.Length > 3
                || !IPAddress.TryParse(args[0], out address)
                || !ushort.TryParse(args[1], out port)
                || (args.Length == 3 && (!int.TryParse(args[2], out clients) || clients < 0)))
            {
                Console.Error.WriteLine("usage: Server.exe ADDRESS PORT [CLIENTS]");
                Console.Error.WriteLine("  ADDRESS  an IP address of this machine, 0.0.0.0 for all");
                Console.Error.WriteLine("  PORT     0 takes a free one; the first line tells which");
                Console.Error.WriteLine("  CLIENTS  end after this many have left; 0, the default, is never");
                return ExitUsage;
            }
            return RunAsync(new IPEndPoint(address, port), clients).GetAwaiter().GetResult();
        }

        private static async Task<int> RunAsync(IPEndPoint endPoint, int clients)
        {
            var listener = new TcpListener(endPoint);
            try
            {
                listener.Start();
            }
            catch (SocketException error)
            {
                Console.Error.WriteLine("cannot listen on " + endPoint + ": " + error.Message);
                return ExitListen;
            }
            Say("listening on " + listener.LocalEndpoint);

            var serving = new List<Task>();
            for (int number = 1; clients == 0 || number <= clients; number++)
            {
                TcpClient client = await listener.AcceptTcpClientAsync();
                serving.RemoveAll(task => task.IsCompleted);
                serving.Add(ServeAsync(client, number));
            }
            listener.Stop();
            await Task.WhenAll(serving);
            return refusedOne ? ExitPacket : ExitDone;
        }

        private static async Task ServeAsync(TcpClient client, int number)
        {
            byte[] prefix = Packet.Text.GetBytes(number + ": ");
            Say("client " + number + " connected");
            try
            {
                using (client)
                {
                    client.NoDelay = true;
                    NetworkStream stream = client.GetStream();
                    byte[] data;
                    // The echo is longer by the prefix and must not be over the limit either.
                    int limit = Packet.MaxLength - prefix.Length;
                    while ((data = await Packet.ReadAsync(stream, limit)) != null)
                        await Packet.WriteAsync(stream, prefix, data);
                }
                Say("client " + number + " left");
            }
            catch (PacketException error)
            {
                refusedOne = true;
                Say("client " + number + " refused: " + error.Message);
            }
            catch (Exception error) when (error is IOException || error is SocketException)
            {
                Say("client " + number + " lost: " + error.Message);
            }
        }

        private static void Say(string line)
        {
            Console.Out.WriteLine(line);
            Console.Out.Flush();
        }
    }
}

// Before: a client in C# on BinaryWriter and BinaryReader, which put a length of their own before text:
// seven bits in a byte, the lowest first, as Protocol Buffers have it, and counted in bytes of UTF-8.
// Build it: mcs TextClient.cs        Run it: mono TextClient.exe HOST PORT TEXT...
using System;
using System.IO;
using System.Net.Sockets;

public static class TextClient
{
    public static void Main(string[] args)
    {
        using (var client = new TcpClient(args[0], int.Parse(args[1])))
        using (var stream = client.GetStream())
        {
            var writer = new BinaryWriter(stream);
            var reader = new BinaryReader(stream);
            for (int i = 2; i < args.Length; i++)
            {
                writer.Write(args[i]);
                writer.Flush();
                Console.WriteLine(reader.ReadString());
            }
        }
    }
}

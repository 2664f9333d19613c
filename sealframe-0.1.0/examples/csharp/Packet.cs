using System;
using System.IO;
using System.Text;
using System.Threading.Tasks;

namespace PacketExample
{
    /// <summary>The peer sent something that is no packet, or stopped inside one.</summary>
    public sealed class PacketException : Exception
    {
        public PacketException(string message) : base(message) { }
    }

    /// <summary>
    /// One packet on the wire: {int32 little-endian length}{data}.
    /// The length counts bytes, not characters, and not itself; it may be zero.
    /// </summary>
    public static class Packet
    {
        public const int HeadSize = 4;

        /// <summary>The longest packet that is sent or accepted, in bytes of data.</summary>
        public const int MaxLength = 16 * 1024 * 1024;

        /// <summary>UTF-8 that neither writes a byte order mark nor throws on bad input.</summary>
        public static readonly Encoding Text = new UTF8Encoding(false);

        /// <summary>Send the parts, joined, as one packet.</summary>
        public static Task WriteAsync(Stream stream, params byte[][] parts)
        {
            long length = 0;
            foreach (byte[] part in parts)
                length += part.Length;
            if (length > MaxLength)
                throw new PacketException(
                    "a packet of " + length + " bytes is over the limit of " + MaxLength);

            // Head and data leave in one write: two small ones would wait for an
            // acknowledgement between them wherever Nagle's algorithm is on.
            byte[] packet = new byte[HeadSize + length];
            byte[] head = LittleEndian(BitConverter.GetBytes((int)length));
            Buffer.BlockCopy(head, 0, packet, 0, HeadSize);
            int offset = HeadSize;
            foreach (byte[] part in parts)
            {
                Buffer.BlockCopy(part, 0, packet, offset, part.Length);
                offset += part.Length;
            }
            return stream.WriteAsync(packet, 0, packet.Length);
        }

        /// <summary>
        /// Receive the data of the next packet; null when the peer has closed its
        /// side at a packet's end.
        /// </summary>
        /// <exception cref="PacketException">
        /// The length is negative or over the limit, or the stream ended inside a packet.
        /// </exception>
        public static async Task<byte[]> ReadAsync(Stream stream, int limit = MaxLength)
        {
            byte[] head = new byte[HeadSize];
            int got = await FillAsync(stream, head);
            if (got == 0)
                return null;
            if (got < HeadSize)
                throw new PacketException(
                    "the stream ended after " + got + " of " + HeadSize + " bytes of a length");

            int length = BitConverter.ToInt32(LittleEndian(head), 0);
            if (length < 0)
                throw new PacketException("the length " + length + " is negative");
            if (length > limit)
                throw new PacketException(
                    "the length " + length + " is over the limit of " + limit);

            byte[] data = new byte[length];
            got = await FillAsync(stream, data);
            if (got < length)
                throw new PacketException(
                    "the stream ended after " + got + " of " + length + " bytes of data");
            return data;
        }

        // One read returns what has arrived, seldom a whole packet.
        private static async Task<int> FillAsync(Stream stream, byte[] buffer)
        {
            int filled = 0;
            while (filled < buffer.Length)
            {
                int got = await stream.ReadAsync(buffer, filled, buffer.Length - filled);
                if (got == 0)
                    break;
                filled += got;
            }
            return filled;
        }

        // BitConverter speaks the machine's own byte order.
        private static byte[] LittleEndian(byte[] number)
        {
            if (!BitConverter.IsLittleEndian)
                Array.Reverse(number);
            return number;
        }
    }
}

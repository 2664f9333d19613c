// Frames, and what control frames say: docs/PROTOCOL.md, sections 1 to 5.

export const OPCODE = {
  HANDSHAKE: 0x41, HELLO: 0x42, WELCOME: 0x43, CLOSE: 0x44, GOAWAY: 0x85, UNSUPPORTED: 0x86,
  PING: 0x07, PONG: 0x88, ACK: 0x89, PAD: 0x8b, CREDIT: 0x4a, STREAM_OPEN: 0x25, STREAM_DATA: 0xa6,
  STREAM_CREDIT: 0xa7, STREAM_END: 0xa8, STREAM_RESET: 0xa9, REQUEST: 0x21, REPLY: 0xa2,
  FAILURE: 0xa3, CANCEL: 0xa4,
};
export const CODE = {
  NORMAL: 0, GOING_AWAY: 1, PROTOCOL: 2, TOO_LARGE: 3, VERSION: 4, REFUSED: 5, BUSY: 6, PLAIN: 7,
  TIMEOUT: 9, SESSION_LOST: 14, SEALED: 16,
};
export const FIELD = {
  MAX_FRAME: 1, WINDOW: 3, SESSION: 4, SOFTWARE: 5, CLIENT_ID: 7, FRAMES_RECEIVED: 8,
  MAX_REQUESTS: 11, RETRY_AFTER: 12,
};
export const KIND = { REQUEST: 1, REPLY: 2 }; // of streams
const NUMBERS = { 1: 1, 3: 1, 10: 0, 11: 0 }; // fields that are a u32, and the lowest value of each
const MAGIC = Buffer.from('sealfram');
const VERSION = 1;
export const PREAMBLE = Buffer.concat([MAGIC, Buffer.from([VERSION, 1])]); // pattern 1
export const hasMagic = (body) => body.subarray(0, 8).equals(MAGIC);
const CONTROL = 0x80000000; // bit 31 of a head

/** What the peer did wrong, with the code that it is told; null where it is told nothing. */
export class Fault extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

export function u32(number) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(number);
  return bytes;
}
export function u64(number) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(number));
  return bytes;
}
export const messageFrame = (content) => Buffer.concat([u32(content.length), content]);
export const controlFrame = (opcode, body = Buffer.alloc(0)) =>
  Buffer.concat([u32(CONTROL + 1 + body.length), Buffer.from([opcode]), body]);

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  chunks = [];
  size = 0; // bytes that are here and were not taken

  push(chunk) {
    this.chunks.push(chunk);
    this.size += chunk.length;
  }

  /** Returns the next frame, {message} or {opcode, body}; null while it is not whole. */
  next(limit, controlLimit = 65536) {
    if (this.size < 4) return null;
    const head = this.#join(4).readUInt32LE();
    const control = head >= CONTROL;
    const length = head % CONTROL;
    if (control && length === 0) throw new Fault(CODE.PROTOCOL, 'a control frame without opcode');
    if (length > (control ? controlLimit : limit)) {
      throw new Fault(CODE.TOO_LARGE, `a frame of ${length} bytes`);
    }
    if (this.size < 4 + length) return null;
    const bytes = this.#join(4 + length);
    const content = bytes.subarray(4, 4 + length);
    this.chunks[0] = bytes.subarray(4 + length);
    this.size -= 4 + length;
    return control ? { opcode: content[0], body: content.subarray(1) } : { message: content };
  }

  #join(length) {
    // All at once, and only where it is needed: a large message is copied once.
    if (this.chunks[0].length < length) this.chunks = [Buffer.concat(this.chunks)];
    return this.chunks[0];
  }
}

/** `fields` are pairs of type and value, in ascending order. */
function encodeFields(fields) {
  return Buffer.concat(fields.flatMap(([type, value]) => {
    const head = Buffer.alloc(4);
    head.writeUInt16LE(type);
    head.writeUInt16LE(value.length, 2);
    return [head, value];
  }));
}

function decodeFields(bytes) {
  const fields = new Map();
  let last = -1;
  for (let at = 0; at < bytes.length; ) {
    const head = bytes.subarray(at, at + 4);
    const type = head.length < 4 ? -1 : head.readUInt16LE();
    const end = type < 0 ? Infinity : at + 4 + head.readUInt16LE(2);
    if (end > bytes.length) throw new Fault(CODE.PROTOCOL, 'a field is cut short');
    if (type <= last) throw new Fault(CODE.PROTOCOL, 'fields are not in ascending order');
    if (type & 0x8000) throw new Fault(CODE.PROTOCOL, `field ${type} is critical and unknown`);
    fields.set(type, bytes.subarray(at + 4, end));
    last = type;
    at = end;
  }
  return fields;
}

/** The body of HELLO or WELCOME. */
export const encodeHello = (fields) =>
  Buffer.concat([MAGIC, Buffer.from([VERSION]), encodeFields(fields)]);

export function decodeHello(body) {
  if (!hasMagic(body)) throw new Fault(CODE.PROTOCOL, 'no magic');
  if (body[8] !== VERSION) throw new Fault(CODE.VERSION, `version ${body[8]}`);
  if (body.length > 512) throw new Fault(CODE.PROTOCOL, 'HELLO or WELCOME is over 512 bytes');
  const fields = decodeFields(body.subarray(9));
  for (const [type, lowest] of Object.entries(NUMBERS)) {
    const value = fields.get(Number(type));
    const number = value?.length === 4 ? value.readUInt32LE() : -1;
    if (value && (number < lowest || number > 0x7fffffff)) {
      throw new Fault(CODE.PROTOCOL, `field ${type} is out of its range`);
    }
  }
  return fields;
}

/** The body of CLOSE; `received` is null where it has no fields. */
export function encodeClose(code, received) {
  const fields = received === null ? [] : [[FIELD.FRAMES_RECEIVED, u64(received)]];
  return Buffer.concat([Buffer.from([code & 255, code >> 8, 0]), encodeFields(fields)]);
}

/** What CLOSE or GOAWAY says: `text` for people, `retryAfter` in milliseconds. */
export function decodeClose(body) {
  if (body.length < 3 || body.length < 3 + body[2]) throw new Fault(CODE.PROTOCOL, 'cut short');
  const fields = decodeFields(body.subarray(3 + body[2]));
  const code = body.readUInt16LE();
  const text = `code ${code} ${body.toString('utf8', 3, 3 + body[2])}`.trim();
  const received = fields.get(FIELD.FRAMES_RECEIVED);
  const retryAfter = fields.get(FIELD.RETRY_AFTER);
  if ((received && received.length !== 8) || (retryAfter && retryAfter.length !== 4)) {
    throw new Fault(CODE.PROTOCOL, 'a field of another length');
  }
  return {
    code, text, received: received ? Number(received.readBigUInt64LE()) : null,
    retryAfter: retryAfter?.readUInt32LE() ?? 0,
  };
}

/** Field 4 in HELLO: section 12. */
export const encodeSessionHello = (hello) => Buffer.concat([
  hello.token, u32(hello.start), u32(hello.link), u64(hello.numbering), u64(hello.received),
  u64(hello.acknowledged), u64(hello.credit), u32(hello.ackBy), u32(hello.flags),
]);

/** Field 4 in WELCOME. Counts are numbers, exact up to 2^53; the numbering is a BigInt. */
export function decodeSessionWelcome(bytes) {
  if (bytes.length !== 52) throw new Fault(CODE.PROTOCOL, 'field 4 of another length');
  const count = (at) => Number(bytes.readBigUInt64LE(at));
  const welcome = {
    numbering: bytes.readBigUInt64LE(), received: count(8), acknowledged: count(16),
    credit: count(24), taken: count(32), keep: bytes.readUInt32LE(40),
    ackBy: bytes.readUInt32LE(44), before: bytes.readUInt32LE(48),
  };
  if (!welcome.numbering || welcome.acknowledged > welcome.received || welcome.ackBy < 1024) {
    throw new Fault(CODE.PROTOCOL, 'field 4 has what it must not');
  }
  return welcome;
}

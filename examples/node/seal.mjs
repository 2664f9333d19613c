// Between the socket and the frames of a sealed connection: docs/PROTOCOL.md, section 6, for a shared
// key. Names are those of the Noise Protocol Framework, revision 34.

import * as crypto from 'node:crypto';

import {
  CODE, Fault, FrameReader, OPCODE, PREAMBLE, controlFrame, decodeClose, hasMagic, messageFrame,
} from './frames.mjs';

const EMPTY = Buffer.alloc(0);
const UNPROVED = 1024 - 4; // bytes in a frame, before the peer has proved that it has the key
const RECORD = 65535; // bytes, with the tag
const TAG = 16;
// X25519 public keys as DER (RFC 8410), since node:crypto takes no raw ones.
const SPKI = Buffer.from('302a300506032b656e032100', 'hex');

/** DH(); throws where the result is all zeros. */
function dh(privateKey, remote) {
  const key = Buffer.concat([SPKI, remote]);
  const publicKey = crypto.createPublicKey({ key, format: 'der', type: 'spki' });
  return crypto.diffieHellman({ privateKey, publicKey });
}

/** Three outputs of HKDF(), Noise, section 4.3: RFC 5869 without info. */
function hkdf(chainingKey, input) {
  const bytes = Buffer.from(crypto.hkdfSync('sha256', input, chainingKey, EMPTY, 96));
  return [bytes.subarray(0, 32), bytes.subarray(32, 64), bytes.subarray(64)];
}

function nonce(n) {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64BE(n, 4);
  return bytes;
}

function encrypt(k, n, ad, plaintext) {
  const cipher = crypto.createCipheriv('aes-256-gcm', k, nonce(n)).setAAD(ad);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** Throws if the tag is wrong. */
function decrypt(k, n, ad, ciphertext) {
  const cipher = crypto.createDecipheriv('aes-256-gcm', k, nonce(n)).setAAD(ad);
  cipher.setAuthTag(ciphertext.subarray(-TAG));
  return Buffer.concat([cipher.update(ciphertext.subarray(0, -TAG)), cipher.final()]);
}

/** The records of one direction: REKEY after each 4,096. */
class Direction {
  n = 0n; // the number of the next one

  constructor(k) {
    this.k = k;
  }

  seal = (plaintext) => encrypt(...this.#next(), EMPTY, plaintext);
  open = (record) => decrypt(...this.#next(), EMPTY, record);

  #next() {
    if (this.n && this.n % 4096n === 0n) {
      this.k = encrypt(this.k, 2n ** 64n - 1n, EMPTY, Buffer.alloc(32)).subarray(0, 32);
    }
    return [this.k, this.n++];
  }
}

/** HandshakeState and SymmetricState of NNpsk0. Each key seals one payload here, with n = 0. */
class Handshake {
  constructor(psk, context) {
    this.pair = crypto.generateKeyPairSync('x25519');
    this.e = this.pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(SPKI.length);
    this.h = this.ck = Buffer.from('Noise_NNpsk0_25519_AESGCM_SHA256'); // 32 bytes
    this.#mixHash(PREAMBLE, Buffer.from([context.length & 255, context.length >> 8]), context);
    const [ck, hash] = hkdf(this.ck, psk); // MixKeyAndHash, whose key is replaced before its use
    this.ck = ck;
    this.#mixHash(hash);
  }

  /** Tokens e and, in the second message, ee; then the empty payload. */
  write(second) {
    this.#mixEphemeral(this.e, second);
    const tag = encrypt(this.k, 0n, this.h, EMPTY);
    this.#mixHash(tag);
    return Buffer.concat([this.e, tag]);
  }

  /** Throws if anything is wrong. */
  read(message, second) {
    if (message.length !== 32 + TAG) throw new Error('a message of another length');
    this.re = message.subarray(0, 32);
    this.#mixEphemeral(this.re, second);
    decrypt(this.k, 0n, this.h, message.subarray(32));
    this.#mixHash(message.subarray(32));
  }

  /** The client's direction, and the server's. */
  split = () => hkdf(this.ck, EMPTY).slice(0, 2).map((key) => new Direction(key));

  #mixEphemeral(key, second) {
    this.#mixHash(key);
    this.#mixKey(key); // since there is a psk: Noise, section 9.2
    if (second) this.#mixKey(dh(this.pair.privateKey, this.re));
  }

  #mixHash(...parts) {
    this.h = crypto.createHash('sha256').update(Buffer.concat([this.h, ...parts])).digest();
  }

  #mixKey(input) {
    [this.ck, this.k] = hkdf(this.ck, input);
  }
}

/** Calls write(bytes), established() once there are keys, and plaintext(bytes) for each record. */
export class Seal {
  reader = new FrameReader();
  silent = true; // whether the peer has not begun the handshake

  constructor({ client, key, context, write, established, plaintext }) {
    Object.assign(this, { client, write, established, plaintext });
    this.handshake = new Handshake(key, Buffer.from(context));
    if (client) this.#write(PREAMBLE, this.handshake.write(false));
  }

  seal(bytes) {
    const records = [];
    for (let at = 0; at < bytes.length; at += RECORD - TAG) {
      const part = bytes.subarray(at, at + RECORD - TAG);
      records.push(messageFrame(this.sender.seal(part)));
    }
    return Buffer.concat(records);
  }

  receive(chunk) {
    this.reader.push(chunk);
    for (let frame; (frame = this.#next()); ) {
      // Also where a server's first record is due, a plaintext CLOSE may come.
      if (frame.opcode === OPCODE.CLOSE && !this.receiver?.n) {
        const { text } = decodeClose(frame.body);
        throw new Fault(null, `refused by the peer, or by anyone on the way: ${text}`);
      } else if (this.receiver) this.plaintext(this.#open(frame));
      else this.#shakeHands(frame);
    }
  }

  #next() {
    const first = !this.client && !this.receiver?.n;
    try {
      return this.reader.next(first ? UNPROVED : RECORD, UNPROVED);
    } catch (fault) {
      throw new Fault(null, fault.message);
    }
  }

  #open({ message }) {
    try {
      if (message.length <= TAG) throw new Error('an empty record');
      return this.receiver.open(message);
    } catch {
      throw new Fault(null, 'a record does not open');
    }
  }

  #shakeHands({ message, opcode, body }) {
    const { client, handshake } = this;
    if (!client && (message || opcode === OPCODE.HELLO)) {
      throw new Fault(CODE.SEALED, 'the client is not sealed');
    }
    if (opcode !== OPCODE.HANDSHAKE || !(client || hasMagic(body))) {
      throw new Fault(null, 'this is no handshake');
    }
    this.silent = false;
    if (!client && !body.subarray(0, 10).equals(PREAMBLE)) {
      throw new Fault(CODE.VERSION, 'an unknown version or pattern');
    }
    try {
      handshake.read(client ? body : body.subarray(10), client);
      if (!client) this.#write(handshake.write(true)); // where a key shows that leads to zeros
    } catch {
      throw new Fault(CODE.REFUSED, 'the handshake failed: another key or context?');
    }
    const [first, second] = handshake.split();
    [this.sender, this.receiver] = client ? [first, second] : [second, first];
    this.established();
  }

  #write = (...parts) => this.write(controlFrame(OPCODE.HANDSHAKE, Buffer.concat(parts)));
}

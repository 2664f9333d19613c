// One end of a connection, in each of the three ways to talk: docs/PROTOCOL.md. It has messages, PING
// and CLOSE. Streams, requests and windows are not announced, so that the peer uses none: a session, of
// which it may be a link, has those of its own.

import { EventEmitter } from 'node:events';

import {
  CODE, FIELD, Fault, FrameReader, OPCODE, controlFrame, decodeClose, decodeHello, encodeClose,
  encodeHello, hasMagic, messageFrame, u32,
} from './frames.mjs';
import { Seal } from './seal.mjs';

const HANDSHAKE_TIME = 10_000; // milliseconds until the introductions are over
const KEEPALIVE_TIME = 20_000; // of silence before PING, and again before the peer is given up
const CLOSE_TIME = 10_000; // for the peer's answer to CLOSE, and to discard what comes after a fault
export const MAX_FRAME = 16 << 20; // bytes in a message

// The states of section 11: what may come.
const SEALING = 'a handshake message';
const SEALED_HELLO = 'HELLO, alone in the first record';
const SEALED_WELCOME = 'WELCOME, in a record';
const WELCOME = 'a message, or WELCOME';
const FIRST = 'a message, or HELLO';
const PACKETS = 'a message';
const EXTENDED = 'a message, or another control frame';
const ENDED = 'nothing after CLOSE';
const FAILED = 'nothing';

/** Emits 'message' (Buffer), 'open', 'end' (the peer sends no more), 'close' (Error or null). */
export class Connection extends EventEmitter {
  reader = new FrameReader();
  received = 0; // frames that count
  peerLimit = 0x7fffffff;
  controls = false; // whether the peer reads control frames
  sentClose = false;
  peerClosed = false; // by CLOSE(0)
  early = []; // messages before WELCOME, which a session takes or not
  answered = new Set(); // opcodes that UNSUPPORTED was sent for
  error = null;

  /** `key` is the shared key, 32 bytes; without it the connection is not sealed. */
  constructor(socket, options) {
    super();
    const { client, extended = false, key = null, context = '', id = '', session = null } = options;
    Object.assign(this, { socket, client, id, session });
    socket.on('data', (chunk) => this.#guard(() => this.#receive(chunk)));
    socket.on('end', () => this.#guard(() => this.#endOfStream()));
    socket.on('error', (error) => (this.error ??= error));
    socket.on('close', () => {
      clearTimeout(this.timer);
      this.emit('close', this.error);
    });
    this.#wait(HANDSHAKE_TIME, () => this.#late());
    if (key) {
      this.state = SEALING;
      const write = (bytes) => socket.write(bytes);
      const established = () => this.#established();
      const plaintext = (bytes) => this.#plaintext(bytes);
      this.seal = new Seal({ client, key, context, write, established, plaintext });
    } else if (client && extended) {
      this.state = WELCOME;
      this.#introduce(OPCODE.HELLO);
    } else {
      this.#open(client ? PACKETS : FIRST);
    }
  }

  /** Returns false where the socket's 'drain' should be awaited. */
  send(message) {
    if (message.length > this.peerLimit) throw new RangeError("over the peer's limit");
    if (this.sentClose) throw new Error('this end has closed');
    return this.write(messageFrame(message));
  }

  /** Ends this direction. The peer's goes on until it has ended, too. */
  close() {
    if (this.sentClose || this.state === FAILED) return;
    this.sentClose = true;
    if (this.controls) this.#control(OPCODE.CLOSE, encodeClose(CODE.NORMAL, this.received));
    // Packets close by the end of the stream, the others once both ends have sent CLOSE.
    if (!this.controls || this.state === ENDED) this.socket.end();
    this.#wait(CLOSE_TIME, () => this.socket.destroy());
  }

  // For the session of a link

  write = (frame) => this.socket.write(this.seal ? this.seal.seal(frame) : frame);

  /** CLOSE(0) goes out; the session says how long its answer may take, and ends the link. */
  sayClose() {
    this.sentClose = true;
    clearTimeout(this.timer);
    this.#control(OPCODE.CLOSE, encodeClose(CODE.NORMAL, this.#count()));
  }

  /** CLOSE came. */
  ended(code) {
    this.state = ENDED;
    this.peerClosed = code === CODE.NORMAL;
  }

  /** Nothing has any effect any more, in either direction. */
  cutOff() {
    this.state = FAILED;
    clearTimeout(this.timer);
    this.socket.destroy();
  }

  #count = () => (this.session ? this.session.acknowledgeAll() : this.received);
  #control = (opcode, body) => this.write(controlFrame(opcode, body));

  #guard(step) {
    try {
      step();
    } catch (fault) {
      this.#fail(fault);
    }
  }

  #wait(time, step) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#guard(step), time);
  }

  #receive(chunk) {
    if (this.state === FAILED) return; // discarded
    this.heard = true;
    if (this.seal) this.seal.receive(chunk);
    else this.#plaintext(chunk);
  }

  #plaintext(bytes) {
    const hello = this.state === SEALED_HELLO;
    this.reader.push(bytes);
    for (let frame; (frame = this.reader.next(MAX_FRAME)); ) {
      if (hello && this.reader.size) break;
      this.#frame(frame);
    }
    if (hello && this.state === SEALED_HELLO) this.#unexpected();
  }

  #frame({ message, opcode, body }) {
    const { state, session } = this;
    const late = state === ENDED && this.peerClosed && [OPCODE.PONG, OPCODE.ACK].includes(opcode);
    if (session && message && state === WELCOME) return this.early.push(message);
    if (session && (state === EXTENDED || late) && session.frame({ message, opcode, body })) return;
    if (message || opcode & 0x20) this.received += 1;
    if (message && [WELCOME, FIRST, PACKETS, EXTENDED].includes(state)) {
      if (state === FIRST) this.state = PACKETS;
      this.emit('message', message);
    } else if (!message && state === EXTENDED) {
      this.#extended(opcode, body);
    } else if (opcode === OPCODE.HELLO && [FIRST, SEALED_HELLO].includes(state)) {
      this.#introduced(body);
    } else if (opcode === OPCODE.WELCOME && [WELCOME, SEALED_WELCOME].includes(state)) {
      this.#introduced(body);
    } else if (opcode === OPCODE.HANDSHAKE && state === FIRST && hasMagic(body)) {
      throw new Fault(CODE.PLAIN, 'the client is sealed, and this server is not');
    } else if (opcode === OPCODE.CLOSE && this.client && state !== ENDED) {
      // In place of WELCOME; or SEALED or NO_MESSAGES for packets.
      const close = decodeClose(body);
      session?.refused(close, Boolean(this.seal));
      throw new Fault(null, `the server refused: ${close.text}`);
    } else {
      this.#unexpected();
    }
  }

  #extended(opcode, body) {
    if (opcode === OPCODE.CLOSE) {
      const { code, text } = decodeClose(body);
      if (code !== CODE.NORMAL) this.error ??= new Error(`the peer closed: ${text}`);
      this.#ended(this.client || code !== CODE.NORMAL);
    } else if (opcode === OPCODE.PING) {
      if (body.length > 8) throw new Fault(CODE.PROTOCOL, 'a PING of more than 8 bytes');
      if (!this.sentClose) this.#control(OPCODE.PONG, body);
    } else if (opcode === OPCODE.GOAWAY) {
      decodeClose(body);
    } else if (opcode === OPCODE.CREDIT) {
      // It has to be well formed. Windows do not hold, since this end announces none.
      const credit = body.length === 4 ? body.readUInt32LE() : 0;
      if (credit < 1 || credit > 0x7fffffff) throw new Fault(CODE.PROTOCOL, 'not a credit');
    } else if (![OPCODE.UNSUPPORTED, OPCODE.PONG, OPCODE.ACK, OPCODE.PAD].includes(opcode)) {
      // Nobody was allowed a stream or a request, so each frame of one is an error.
      if (Object.values(OPCODE).includes(opcode) || opcode & 0x40) this.#unexpected();
      if (opcode & 0x80 || this.sentClose || this.answered.has(opcode)) return;
      this.answered.add(opcode);
      this.#control(OPCODE.UNSUPPORTED, Buffer.from([opcode, ...body.subarray(0, 8)]));
    }
  }

  #endOfStream() {
    if (this.state === FAILED) this.socket.destroySoon();
    else if ([FIRST, PACKETS].includes(this.state) && !this.reader.size) this.#ended(this.client);
    else if (this.session && this.state === ENDED) this.socket.end();
    else if (this.state !== ENDED) throw new Fault(null, 'the stream ended in a frame, or too early');
  }

  #ended(answer) {
    this.state = ENDED;
    this.emit('end');
    if (this.sentClose) this.socket.end();
    else if (answer) this.close();
  }

  #unexpected() {
    throw new Fault(CODE.PROTOCOL, `another frame where only this may come: ${this.state}`);
  }

  // Introductions

  #introduce(opcode) {
    const fields = [[FIELD.MAX_FRAME, u32(MAX_FRAME)], [FIELD.SOFTWARE, Buffer.from('node')]];
    if (this.id) fields.push([FIELD.CLIENT_ID, Buffer.from(this.id)]);
    this.#control(opcode, encodeHello(this.session?.hello() ?? fields));
  }

  #established() {
    this.state = this.client ? SEALED_WELCOME : SEALED_HELLO;
    if (this.client) this.#introduce(OPCODE.HELLO);
  }

  #introduced(body) {
    this.controls = hasMagic(body); // so that its sender reads CLOSE, if anything is wrong with it
    const fields = decodeHello(body);
    this.peerLimit = fields.get(FIELD.MAX_FRAME)?.readUInt32LE() ?? this.peerLimit;
    if (!this.client) this.#introduce(OPCODE.WELCOME);
    this.#open(EXTENDED);
    this.#keepAlive(false);
    this.session?.welcome(fields, this.early);
  }

  #open(state) {
    this.state = state;
    clearTimeout(this.timer);
    queueMicrotask(() => this.emit('open'));
  }

  // Time and faults

  #late() {
    const silent = !this.client && this.seal?.silent;
    throw new Fault(silent ? CODE.SEALED : null, `this did not come in time: ${this.state}`);
  }

  #keepAlive(probed) {
    this.heard = false;
    this.#wait(KEEPALIVE_TIME, () => {
      if (!this.heard && probed) throw new Fault(CODE.TIMEOUT, 'the peer gave no sign of life');
      if (!this.heard) this.#control(OPCODE.PING);
      this.#keepAlive(!this.heard);
    });
  }

  #fail(fault) {
    if (this.state === FAILED) return;
    this.error ??= fault;
    if (this.session && this.#endsTheLinkAlone(fault)) return this.cutOff();
    if (fault instanceof Fault && fault.code !== null && !this.sentClose) {
      // Before there are records, and where the peer may speak another protocol, it has no fields.
      const framed = this.controls || this.seal?.sender;
      const frame = controlFrame(OPCODE.CLOSE, encodeClose(fault.code, framed ? this.received : null));
      if (framed) this.write(frame);
      else if (this.seal || fault.code === CODE.PLAIN) this.socket.write(frame);
    }
    this.state = FAILED;
    this.session?.failed(fault);
    this.socket.end();
    this.socket.resume(); // discard what comes, so that no reset destroys the answer
    this.#wait(CLOSE_TIME, () => this.socket.destroy());
  }

  /** Whether the session goes on, without the link: before WELCOME anybody may have answered. */
  #endsTheLinkAlone({ code }) {
    return code === null || code === CODE.TIMEOUT || !this.controls;
  }
}

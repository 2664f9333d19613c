// A session, the client's end: docs/PROTOCOL.md, section 12. Each of its links is a Connection. Counts
// are numbers here, exact up to 2^53.

import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';

import { Connection, MAX_FRAME } from './connection.mjs';
import {
  CODE, FIELD, Fault, OPCODE, controlFrame, decodeClose, decodeSessionWelcome, encodeSessionHello,
  messageFrame, u32, u64,
} from './frames.mjs';
import { MAX_REQUESTS, Requests } from './requests.mjs';

const WINDOW = 65_536; // credit for messages at first; it is given again by quarters
const ACK_BY = 65_536; // bytes of this end's frames
const ACK_TIME = 25; // milliseconds
const KEPT = 1 << 20; // bytes without acknowledgement at which messages wait
const QUEUED = 1 << 16; // bytes at which send() returns false
const BACK_OFF = 20; // milliseconds until the first new link, doubled until a WELCOME
const MAX_BACK_OFF = 1_000;
const CLOSE_TIME = 10_000;

const cost = (frame) => frame.length - 4 + 64;
const CHANNELS = new Set([
  OPCODE.STREAM_OPEN, OPCODE.STREAM_DATA, OPCODE.STREAM_CREDIT, OPCODE.STREAM_END,
  OPCODE.STREAM_RESET, OPCODE.REQUEST, OPCODE.REPLY, OPCODE.FAILURE, OPCODE.CANCEL,
]);

/** Emits 'open', 'message', 'drain', 'end', 'close' as Connection does, and 'link' for each WELCOME. */
export class Session extends EventEmitter {
  links = 0; // HELLOs made; those of a link that never got through count, too
  token = randomBytes(16);
  welcomed = false;
  attached = false;
  sentClose = false; // no more is accepted
  peerClosed = false;
  over = false;
  backOff = BACK_OFF;
  retryAfter = 0;
  // What this end sends
  messages = []; // frames without a number
  controls = []; // the same; they never wait for anything but a link
  queued = 0; // bytes of messages
  kept = []; // frames that were given to a link, the first of them number peerAcknowledged + 1
  keptBytes = 0;
  arrived = 0; // messages that are acknowledged, in the life of the session
  messagesGiven = 0; // to links, each once

  /** `dial` returns a new socket; `key`, `context` as in Connection; `answer` answers requests. */
  constructor({ dial, key = null, context = '', answer = null }) {
    super();
    Object.assign(this, { dial, key, context });
    const give = (opcode, ...parts) => {
      this.controls.push(controlFrame(opcode, Buffer.concat(parts)));
      this.#flush();
    };
    this.requests = new Requests({ give, answer, maxFrame: MAX_FRAME });
    this.#begin(0n);
    this.#connect();
  }

  /** Returns false where 'drain' should be awaited. */
  send(message) {
    if (this.sentClose) throw new Error('this end has closed');
    if (message.length > this.peerLimit) throw new RangeError("over the peer's limit");
    const frame = messageFrame(message);
    this.messages.push(frame);
    this.queued += frame.length;
    this.#flush();
    return this.queued < QUEUED;
  }

  /** A promise of the reply. */
  request(payload) {
    if (this.sentClose || this.peerClosed) throw new Error('it is closed');
    return this.requests.request(payload);
  }

  close() {
    if (this.sentClose || this.over) return;
    this.sentClose = true;
    if (this.attached) this.#flush();
    else this.#awaitClose();
  }

  #begin(numbering) {
    this.numbering = numbering;
    this.place = this.arrived; // the last message that was given to a link in it, among all
    this.credit = 0; // in total
    this.given = 0; // the number of the last frame that was given to a link
    this.peerAcknowledged = 0;
    this.received = 0;
    this.acknowledged = 0;
    this.creditGiven = WINDOW; // in total
    this.creditUsed = 0; // by the peer's messages
    this.spent = 0; // by this end's
  }

  // Links

  #connect() {
    this.link?.cutOff();
    const { key, context } = this;
    const link = new Connection(this.dial(), { client: true, extended: true, key, context, session: this });
    this.link = link;
    link.on('close', (error) => this.#lost(link, error));
  }

  #lost(link, error) {
    if (link !== this.link || this.over) return;
    this.link = null;
    this.attached = false;
    clearTimeout(this.ackTimer);
    this.ackTimer = null;
    if (link.sentClose && link.peerClosed && !this.kept.length) return this.#end(null);
    this.lastError = error;
    if (this.sentClose) this.#awaitClose();
    setTimeout(() => this.over || this.#connect(), Math.max(this.backOff, this.retryAfter));
    this.backOff = Math.min(2 * this.backOff, MAX_BACK_OFF);
    this.retryAfter = 0;
  }

  /** The fields of HELLO. */
  hello() {
    this.links += 1;
    const session = encodeSessionHello({
      token: this.token, start: 1, link: this.links, numbering: this.numbering,
      received: this.received, acknowledged: this.acknowledgeAll(),
      credit: this.creditGiven, ackBy: ACK_BY, flags: this.welcomed ? 1 : 0,
    });
    return [
      [FIELD.MAX_FRAME, u32(MAX_FRAME)], [FIELD.WINDOW, u32(WINDOW)], [FIELD.SESSION, session],
      [FIELD.SOFTWARE, Buffer.from('node')], [FIELD.MAX_REQUESTS, u32(MAX_REQUESTS)],
    ];
  }

  /** WELCOME came on the newest link, behind these messages. */
  welcome(fields, early) {
    const bytes = fields.get(FIELD.SESSION);
    if (!bytes) {
      this.link.session = null;
      this.link.close();
      return this.#end(new Error('the server keeps no sessions'));
    }
    const welcome = decodeSessionWelcome(bytes);
    if (welcome.numbering === this.numbering) this.#goesOn(welcome);
    else this.#begins(welcome, fields);
    this.credit = Math.max(welcome.credit, this.credit);
    this.peerAckBy = welcome.ackBy;
    this.unacknowledged = 0; // bytes
    this.backOff = BACK_OFF;
    this.attached = true;
    if (welcome.before) {
      if (welcome.before !== early.length) throw new Fault(CODE.SESSION_LOST, 'what came before differs');
      for (const message of early) this.frame({ message });
    }
    for (const frame of this.kept.slice(welcome.received - this.peerAcknowledged)) this.link.write(frame);
    if (!this.welcomed) queueMicrotask(() => this.emit('open'));
    this.welcomed = true;
    this.emit('link');
    if (!this.link.sentClose) clearTimeout(this.closeTimer);
    this.closeTimer = null;
    this.#flush();
    this.requests.flush();
  }

  #goesOn({ received, acknowledged, taken, before }) {
    if (taken || before) throw new Fault(CODE.PROTOCOL, 'taken or before, where nothing begins');
    const known = acknowledged >= this.peerAcknowledged;
    if (!known || received > this.given) throw new Fault(CODE.SESSION_LOST, 'the counts contradict');
    this.#acknowledge(acknowledged);
  }

  #begins({ numbering, received, taken, credit }, fields) {
    this.windows = fields.has(FIELD.WINDOW);
    const window = this.windows ? fields.get(FIELD.WINDOW).readUInt32LE() : 0;
    if (received || (this.windows && credit !== window)) throw new Fault(CODE.PROTOCOL, 'counts, where they begin');
    const kept = this.kept.filter((frame) => !(frame[3] & 0x80));
    const lost = taken - this.arrived;
    if (lost < 0 || taken > this.messagesGiven) throw new Fault(CODE.SESSION_LOST, 'the counts contradict');
    this.arrived = taken;
    this.messages = [...kept, ...this.messages].slice(lost);
    this.queued = this.messages.reduce((sum, frame) => sum + frame.length, 0);
    this.controls = [];
    this.kept = [];
    this.keptBytes = 0;
    this.peerLimit = fields.get(FIELD.MAX_FRAME)?.readUInt32LE() ?? 0x7fffffff;
    this.#begin(numbering);
    this.requests.begin();
    this.requests.peerLimit = fields.get(FIELD.MAX_REQUESTS)?.readUInt32LE() ?? 0;
    if (this.messages.some((frame) => frame.length - 4 > this.peerLimit)) {
      throw new Fault(CODE.SESSION_LOST, "a message is over the peer's limit");
    }
  }

  // What is sent

  #flush() {
    if (!this.attached || this.link.sentClose) return;
    while (this.controls.length) this.#give(this.controls.shift());
    while (this.messages.length && this.keptBytes < KEPT && this.#hasCredit()) {
      const frame = this.messages.shift();
      const full = this.queued >= QUEUED;
      this.queued -= frame.length;
      this.spent += cost(frame);
      this.place += 1;
      this.messagesGiven = Math.max(this.messagesGiven, this.place);
      this.#give(frame);
      if (full && this.queued < QUEUED) queueMicrotask(() => this.emit('drain'));
    }
    if (this.sentClose && !this.messages.length) {
      this.requests.end(new Error('this end has closed'));
      this.link.sayClose();
      this.#awaitClose();
    }
  }

  #hasCredit = () => !this.windows || this.peerClosed || this.credit > this.spent;

  #give(frame) {
    this.given += 1;
    this.kept.push(frame);
    this.keptBytes += frame.length;
    this.link.write(frame);
  }

  #acknowledge(number) {
    const count = number - this.peerAcknowledged;
    if (count < 0 || number > this.given) throw new Fault(CODE.PROTOCOL, 'an impossible ACK');
    for (const frame of this.kept.splice(0, count)) {
      this.keptBytes -= frame.length;
      if (!(frame[3] & 0x80)) this.arrived += 1;
    }
    this.peerAcknowledged = number;
  }

  // What comes on a link

  /** Returns whether the frame was one of the session's; others are the link's. */
  frame({ message, opcode, body }) {
    if (message) this.#count(4 + message.length);
    else if (opcode & 0x20) this.#count(5 + body.length);
    if (message) this.#message(message);
    else if (CHANNELS.has(opcode)) this.requests.frame(opcode, body);
    else if (opcode === OPCODE.ACK) this.#acked(body);
    else if (opcode === OPCODE.CREDIT) this.#credited(body);
    else if (opcode === OPCODE.CLOSE) this.#closed(decodeClose(body));
    else if (opcode === OPCODE.GOAWAY) this.retryAfter = decodeClose(body).retryAfter;
    else return opcode === OPCODE.PONG;
    return true;
  }

  #count(size) {
    this.received += 1;
    this.unacknowledged += size;
    if (this.unacknowledged >= this.peerAckBy / 2) this.#sendAck();
    else this.ackTimer ??= setTimeout(() => this.#sendAck(), ACK_TIME);
  }

  #sendAck() {
    clearTimeout(this.ackTimer);
    this.ackTimer = null;
    if (!this.attached || this.acknowledged === this.received) return;
    this.unacknowledged = 0;
    this.acknowledged = this.received;
    this.link.write(controlFrame(OPCODE.ACK, u64(this.received)));
  }

  /** The number for HELLO and CLOSE: all that came is acknowledged there. */
  acknowledgeAll() {
    this.acknowledged = this.received;
    return this.received;
  }

  #message(message) {
    const free = this.peerClosed || !this.windows || this.link.sentClose;
    if (!free && this.creditGiven <= this.creditUsed) throw new Fault(CODE.PROTOCOL, 'no credit');
    this.creditUsed += message.length + 64;
    this.emit('message', message); // and it is taken
    const due = WINDOW - (this.creditGiven - this.creditUsed);
    if (!this.windows || this.link.sentClose || due < WINDOW / 4) return;
    this.creditGiven += due;
    this.link.write(controlFrame(OPCODE.CREDIT, u32(due)));
  }

  #acked(body) {
    if (body.length !== 8) throw new Fault(CODE.PROTOCOL, 'not an ACK');
    this.#acknowledge(Number(body.readBigUInt64LE()));
    this.#flush();
  }

  #credited(body) {
    const increment = body.length === 4 ? body.readUInt32LE() : 0;
    const over = this.windows && this.credit + increment - this.spent > 0x7fffffff;
    if (increment < 1 || increment > 0x7fffffff || over) throw new Fault(CODE.PROTOCOL, 'not a credit');
    this.credit += increment;
    this.#flush();
  }

  // The end

  #closed({ code, text, received, retryAfter }) {
    const { link } = this;
    if (code === CODE.NORMAL) {
      if (received !== null) this.#acknowledge(received);
      link.ended(code);
      this.#sendAck();
      if (!this.peerClosed) {
        this.peerClosed = true;
        this.requests.end(new Error('the peer has closed'));
        this.emit('end');
      }
      this.close();
      this.#flush();
    } else if (code === CODE.GOING_AWAY) {
      this.retryAfter = retryAfter;
      throw new Fault(null, `the peer closed: ${text}`); // the link ends, and that is all
    } else {
      if (received !== null) this.#acknowledge(received);
      if (!link.sentClose) link.sayClose();
      link.ended(code);
      link.socket.destroySoon();
      this.#end(new Error(`the peer closed: ${text}`));
    }
  }

  /** CLOSE came in place of WELCOME, in a record or on a plain link. */
  refused({ code, text, received, retryAfter }, sealed) {
    this.retryAfter = retryAfter;
    const passing = sealed ? [] : [CODE.VERSION, CODE.REFUSED, CODE.PLAIN, CODE.SEALED];
    passing.push(CODE.BUSY, CODE.GOING_AWAY);
    if (received === null && passing.includes(code)) return; // the link ends, and that is all
    // The session was over before, and this is how far it came.
    const known = received !== null && received >= this.peerAcknowledged && received <= this.given;
    if (known) this.#acknowledge(received);
    this.#end(code === CODE.NORMAL ? null : new Error(`the server refused: ${text}`));
  }

  /** A fault of either end. */
  failed = (error) => this.#end(error);

  #awaitClose() {
    this.closeTimer ??= setTimeout(() => {
      this.#end(this.lastError ?? new Error('the server did not close'));
      this.link?.cutOff();
    }, CLOSE_TIME);
  }

  #end(error) {
    if (this.over) return;
    this.over = true;
    this.attached = false;
    clearTimeout(this.ackTimer);
    clearTimeout(this.closeTimer);
    this.requests.end(error ?? new Error('the session is over'));
    const unknown = this.kept.filter((frame) => !(frame[3] & 0x80)).length;
    const unsent = this.messages.length;
    if (!error && unknown + unsent) error = new Error('not all messages have arrived');
    if (error) Object.assign(error, { arrived: this.arrived, unknown, unsent });
    this.emit('close', error);
  }
}

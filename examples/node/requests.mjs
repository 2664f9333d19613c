// Requests in both directions, over a session: docs/PROTOCOL.md, section 9. This end sends bodies of up
// to 61,440 bytes; longer ones of the peer come on streams, of which it knows as much as they need.

import { CODE, Fault, KIND, OPCODE, u32, u64 } from './frames.mjs';

export const MAX_REQUESTS = 16; // of the peer, at a time
const PAYLOAD = 61_440; // bytes
const BODY_CREDIT = 65_536; // bytes that the peer may send on a stream which it opens
const REASONS = ['RAISED', 'UNSUPPORTED', 'CANCELLED', 'GOING_AWAY', 'TOO_LARGE'];

const fault = (text) => new Fault(CODE.PROTOCOL, text);

export class Requests {
  peerLimit = 0; // requests of this end at a time
  waiting = []; // for that limit; they have no number yet

  /** `answer` gets a payload, and returns the reply or a promise of it. `give` takes a counted frame. */
  constructor({ give, answer, maxFrame }) {
    Object.assign(this, { give, answer, maxFrame });
    this.begin();
  }

  /** A numbering begins: what went on fails, and all is counted from 0. */
  begin() {
    this.#fail(new Error('the server has lost the session, and with it this request'));
    this.made = 0;
    this.asked = 0;
    this.opened = 0; // streams of the peer
    this.serving = new Map(); // the peer's requests without an answer
    this.bodies = new Map(); // streams whose end has not come
    this.over = false;
  }

  /** CLOSE, of either end, ends all requests; what still comes of them is ignored. */
  end(error) {
    this.#fail(error);
    for (const { reject } of this.waiting.splice(0)) reject(error);
    this.over = true;
  }

  #fail(error) {
    for (const { reject } of this.pending?.values() ?? []) reject(error);
    this.pending = new Map(); // requests of this end without an answer
  }

  request(payload) {
    if (payload.length > PAYLOAD) throw new RangeError(`over ${PAYLOAD} bytes`);
    return new Promise((resolve, reject) => {
      this.waiting.push({ payload, resolve, reject });
      this.flush();
    });
  }

  flush() {
    while (!this.over && this.waiting.length && this.pending.size < this.peerLimit) {
      const request = this.waiting.shift();
      this.pending.set(this.made, request);
      this.give(OPCODE.REQUEST, u64(this.made++), request.payload);
    }
  }

  frame(opcode, body) {
    if (this.over) return;
    if (body.length < 8) throw fault('a number is cut short');
    const number = Number(body.readBigUInt64LE());
    const rest = body.subarray(8);
    if (opcode === OPCODE.REQUEST) this.#asked(number, rest);
    else if (opcode === OPCODE.REPLY) this.#answered(number).resolve(rest);
    else if (opcode === OPCODE.FAILURE) this.#failed(number, rest);
    else if (opcode === OPCODE.CANCEL) this.#cancelled(number, rest);
    else if (opcode === OPCODE.STREAM_OPEN) this.#opened(number, rest);
    else this.#stream(opcode, number, rest);
    this.flush();
  }

  // The peer's requests

  #next(number) {
    if (number !== this.asked) throw fault('a request whose number is not the next');
    if (this.serving.size >= MAX_REQUESTS) throw fault('a request too many');
    this.asked += 1;
    this.serving.set(number, null);
  }

  #asked(number, payload) {
    if (payload.length > PAYLOAD) throw fault('a payload that is too long');
    this.#next(number);
    this.#serve(number, payload);
  }

  async #serve(number, payload) {
    const { serving } = this;
    let frame;
    try {
      if (!this.answer) frame = [OPCODE.FAILURE, u64(number), Buffer.from([1, 0])];
      else frame = [OPCODE.REPLY, u64(number), await this.answer(payload)];
    } catch (error) {
      const name = Buffer.from(error.name);
      const head = Buffer.from([0, name.length]);
      frame = [OPCODE.FAILURE, u64(number), head, name, Buffer.from(error.message.slice(0, 250))];
    }
    // Another numbering or CLOSE may have come meanwhile, or CANCEL been answered.
    if (serving === this.serving && serving.delete(number) && !this.over) this.give(...frame);
  }

  #cancelled(number, rest) {
    if (rest.length || number >= this.asked) throw fault('CANCEL of a request that was never made');
    // It is not passed on: the answer comes all the same.
  }

  // Answers to this end's

  #answered(number) {
    const request = this.pending.get(number);
    if (!request || request.answering) throw fault('an answer to no request');
    this.pending.delete(number);
    return request;
  }

  #failed(number, rest) {
    if (rest.length < 2 || rest.length < 2 + rest[1]) throw fault('FAILURE is cut short');
    const at = 2 + rest[1];
    if (rest.length > at + 1000) throw fault('a text that is too long');
    const text = `${REASONS[rest[0]] ?? 'failed'} ${rest.subarray(2, at)} ${rest.subarray(at)}`;
    this.#answered(number).reject(new Error(text));
  }

  // Bodies on streams

  #opened(number, rest) {
    if (rest.length < 5 || rest.length > 5 + 4096) throw fault('STREAM_OPEN of a wrong length');
    if (number !== 2 * this.opened + 1) throw fault('a stream whose number is not the next');
    if (![KIND.REQUEST, KIND.REPLY].includes(rest[0])) throw fault('a stream too many');
    if (rest.length !== 5 + 8 || rest.readUInt32LE(1) > 0x7fffffff) throw fault('not a body');
    this.opened += 1;
    const body = { kind: rest[0], request: Number(rest.readBigUInt64LE(5)), parts: [], size: 0 };
    body.credit = BODY_CREDIT;
    this.bodies.set(number, body);
    if (body.kind === KIND.REQUEST) return this.#next(body.request);
    const request = this.pending.get(body.request);
    if (!request || request.answering) throw fault('an answer to no request');
    request.answering = true;
  }

  #stream(opcode, number, rest) {
    const index = (number - 1) / 2;
    if (!Number.isInteger(index) || index >= this.opened) throw fault('a stream that was never opened');
    const body = this.bodies.get(number);
    if (opcode === OPCODE.STREAM_DATA) {
      if (!rest.length || rest.length > PAYLOAD) throw fault('data of a wrong length');
      if (body) this.#data(number, body, rest);
    } else if (opcode === OPCODE.STREAM_CREDIT) {
      const credit = rest.length === 4 ? rest.readUInt32LE() : 0;
      if (credit < 1 || credit > 0x7fffffff) throw fault('not a credit'); // this end sends no data
    } else if (opcode === OPCODE.STREAM_END) {
      if (rest.length) throw fault('STREAM_END with more than a number');
      if (body) this.#whole(number, body, Buffer.concat(body.parts));
    } else {
      if (rest.length < 2 || rest.length > 2 + 255) throw fault('STREAM_RESET of a wrong length');
      if (body) this.#whole(number, body, null);
    }
  }

  #data(number, body, data) {
    if (data.length > body.credit) throw fault('data without credit');
    body.size += data.length;
    if (body.size > this.maxFrame) {
      this.give(OPCODE.STREAM_RESET, u64(number), Buffer.from([16, 0]));
      return this.#whole(number, body, null, 4);
    }
    body.parts.push(data);
    this.give(OPCODE.STREAM_CREDIT, u64(number), u32(data.length));
  }

  /** `bytes` is null where the stream was reset. */
  #whole(number, { kind, request }, bytes, reason = 2) {
    this.bodies.delete(number);
    if (kind === KIND.REPLY) {
      const { resolve, reject } = this.pending.get(request);
      this.pending.delete(request);
      if (bytes) resolve(bytes);
      else reject(new Error(`the reply was cut short: ${REASONS[reason]}`));
    } else if (bytes) {
      this.#serve(request, bytes);
    } else if (this.serving.delete(request)) {
      this.give(OPCODE.FAILURE, u64(request), Buffer.from([reason, 0]));
    }
  }
}

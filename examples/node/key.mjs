// A shared key as text, Bech32 (BIP 173): docs/PROTOCOL.md, "Keys as text".

import { readFileSync } from 'node:fs';

const PREFIX = 'sealframe-shared-key-';
const LINE = /^(sealframe-shared-key-1[a-z0-9]{58}|SEALFRAME-SHARED-KEY-1[A-Z0-9]{58})\r?$/m;
const ALPHABET = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const GENERATORS = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];

const polymod = (values) => values.reduce((sum, value) => GENERATORS.reduce(
  (next, generator, bit) => ((sum >>> (25 + bit)) & 1 ? next ^ generator : next),
  ((sum & 0x1ffffff) << 5) ^ value,
), 1);

/** The 32 bytes of the key in a file. */
export function readKey(path) {
  const text = readFileSync(path, 'utf8').match(LINE)?.[1].toLowerCase() ?? '';
  const groups = [...text.slice(PREFIX.length + 1)].map((char) => ALPHABET.indexOf(char));
  const codes = [...PREFIX].map((char) => char.charCodeAt(0));
  const prefix = [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31)];
  // 52 groups of five bits are 32 bytes and four bits that are zero; six more are the checksum.
  const number = groups.slice(0, 52).reduce((bits, group) => (bits << 5n) | BigInt(group), 0n);
  if (groups.includes(-1) || polymod([...prefix, ...groups]) !== 1 || number & 15n) {
    throw new Error(`${path} has no shared key, or one with a typing error`);
  }
  return Buffer.from((number >> 4n).toString(16).padStart(64, '0'), 'hex');
}

// The packed values: inflated once, read in their own type, NaN where a value is missing.
import { report } from "./page.js";

export const MISSING = -1;
const TYPES = { int8: Int8Array, int16: Int16Array, int32: Int32Array, uint8: Uint8Array, float32: Float32Array };

export async function inflate(coded) {
  // Older browsers have no `fromBase64`, which is ten times as fast.
  const bytes = Uint8Array.fromBase64?.(coded) ?? Uint8Array.from(atob(coded), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream);
}

// Numbers of two bytes lie as all their low bytes and then all their high ones.
function joinBytes(bytes) {
  const many = bytes.length / 2, joined = new Uint16Array(many);
  for (let i = 0; i < many; i++) joined[i] = bytes[i] | (bytes[many + i] << 8);
  return joined;
}

export async function unpack(packed) {
  const buffer = await (await inflate(packed.data)).arrayBuffer();
  const raw = packed.type === "uint16" ? joinBytes(new Uint8Array(buffer)) : new TYPES[packed.type](buffer);
  packed.data = null;
  const steps = packed.step !== undefined;
  const none = packed.type === "uint8" ? 255 : 65535, { low, step } = packed;
  const get = steps ? (i) => (raw[i] === none ? NaN : low + raw[i] * step) : (i) => raw[i];
  const strides = packed.shape.map((_, d) => packed.shape.slice(d + 1).reduce((a, b) => a * b, 1));
  const at = (...index) => get(index.reduce((sum, i, d) => sum + i * strides[d], 0));
  return { get, at, shape: packed.shape, error: packed.error };
}

export const unpackAll = async (named) => {
  const names = Object.keys(named);
  const values = await Promise.all(names.map((name) => unpack(named[name])));
  return Object.fromEntries(names.map((name, i) => [name, values[i]]));
};

// The slot of a position among those that the page has one by one; -1 where it is not one of them.
export function slots(ranges) {
  const offsets = [];
  let size = 0;
  for (const [a, b] of ranges) { offsets.push(size); size += b - a; }
  const slot = (p) => {
    let low = 0, high = ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1, [a, b] = ranges[middle];
      if (p < a) high = middle - 1;
      else if (p >= b) low = middle + 1;
      else return offsets[middle] + p - a;
    }
    return -1;
  };
  return { slot, size };
}

// All values that are unpacked, by name.
export const data = {};
export const details = slots(report.ranges);
export const headDetails = slots(report.headRanges);

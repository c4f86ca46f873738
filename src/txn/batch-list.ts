/**
 * Lists of operations: whether going through one can run code of the caller's, which may fill the same memory again for
 * the next operation. Then each is copied when it is taken (bytes-in.ts, invariant 3); a plain list costs no copies.
 */

/**
 * Whether a list is an array that is gone through as arrays are. Own getters are looked for in its first operation only:
 * the others are made by the same code, and looking at each would cost as much as copying it.
 */
export function isPlainList(list: object): boolean {
  if (!Array.isArray(list) || list[Symbol.iterator] !== Array.prototype[Symbol.iterator]) return false;
  const first: unknown = list[0];
  if (typeof first !== 'object' || first === null) return true;
  return Object.values(Object.getOwnPropertyDescriptors(first)).every(({ get }) => get === undefined);
}

/** Whether an operation of a plain list is a plain object: its class has no getters. */
export function isPlainObject(given: object | null | undefined): boolean {
  return given !== null && given !== undefined && Object.getPrototypeOf(given) === Object.prototype;
}

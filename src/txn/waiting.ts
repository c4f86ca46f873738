/**
 * Callers that wait for room, in their order. Each is a function that tries again and answers whether it is through;
 * one that throws is told so and leaves.
 */

interface Caller {
  readonly attempt: () => boolean;
  readonly fail: (error: unknown) => void;
}

export class Waiting {
  #callers: Caller[] = [];
  #pumping = false;
  #makeRoom: (() => void) | undefined;

  get length(): number {
    return this.#callers.length;
  }

  add(attempt: () => boolean, fail: (error: unknown) => void): void {
    this.#callers.push({ attempt, fail });
  }

  /** Lets callers try until one has to wait on; answers whether any got through. */
  pump(): boolean {
    // An attempt may free room and so pump again: the outer round goes on with what is left.
    if (this.#pumping) return false;
    this.#pumping = true;
    let through = false;
    try {
      for (let first = this.#callers[0]; first; first = this.#callers[0]) {
        try {
          if (!first.attempt()) break;
          through = true;
        } catch (error) {
          first.fail(error);
        }
        this.#callers.shift();
      }
    } finally {
      this.#pumping = false;
    }
    return through;
  }

  /** Room is on its way to the first caller; `makeNow` makes it without waiting. */
  promise(makeNow: () => void): void {
    this.#makeRoom = makeNow;
  }

  /** Makes the promised room at once; when that cannot be, the first caller is told. */
  makeRoom(): void {
    const make = this.#makeRoom;
    this.#makeRoom = undefined;
    try {
      make?.();
    } catch (error) {
      this.failFirst(error);
    }
  }

  /** The first caller cannot be helped. */
  failFirst(error: unknown): void {
    this.#callers.shift()?.fail(error);
  }

  /** None can. */
  failAll(error: unknown): void {
    const callers = this.#callers;
    this.#callers = [];
    for (const { fail } of callers) fail(error);
  }
}

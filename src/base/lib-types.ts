/**
 * Types of the language and its runtimes that not every compiler of our declarations has. They check without errors
 * from TypeScript 5.0 on, with and without the DOM, whatever else is installed (test/types/versions).
 *
 * Disposables are in TypeScript since 5.2, and only with the right `lib`. The declarations here are the same as there and
 * in @types/node, and merge with them. They are types only: no runtime is changed.
 */

/**
 * Bytes in memory that nobody else shares: `Uint8Array<ArrayBuffer>`, so that `Blob`, `Response` and `crypto.subtle`
 * take them; `Uint8Array` before TypeScript 5.7, where that is no generic type.
 */
export type OwnBytes = ReturnType<Uint8Array['slice']>;

/** What is needed of a signal where `AbortSignal` is not declared. */
export interface SignalLike {
  /** Throws the reason when it was aborted. */
  throwIfAborted(): void;
}

/** `AbortSignal`, where the DOM or @types/node declares it. */
export type Signal =
  typeof globalThis extends Record<'AbortSignal', Record<'prototype', infer Known>> ? Known : SignalLike;

declare global {
  interface SymbolConstructor {
    readonly dispose: unique symbol;
    readonly asyncDispose: unique symbol;
  }

  interface Disposable {
    [Symbol.dispose](): void;
  }

  interface AsyncDisposable {
    [Symbol.asyncDispose](): PromiseLike<void>;
  }
}

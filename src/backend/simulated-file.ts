/**
 * One open file of a simulated backend. Behaves as the local backend's file: after one failed sync every later one
 * fails, a close waits for what is under way, and what a sync covers is what was written before it was called.
 */
import { AegisError } from '../base/errors.ts';
import type { BackendFile } from './backend.ts';
import { checkPosition } from './file-name.ts';
import type { SimulatedRandom } from './simulated-clock.ts';
import type { DiskFile, SimulatedDisk } from './simulated-disk.ts';
import type { SimulatedCall, SimulatedFault, SimulatedOperation } from './simulated-faults.ts';
import { failureOf } from './simulated-faults.ts';

/** What a file asks of its backend. */
export interface FileHost {
  readonly disk: SimulatedDisk;
  /** For what faults leave behind. */
  readonly faultRandom: SimulatedRandom;
  /** Notes a call and asks the plan. */
  decide(operation: SimulatedOperation, file: string, position: number, length: number): Decision;
  /** The call has had its effect. */
  ended(call: SimulatedCall): void;
  /** Resolves when an asynchronous call may end. */
  delay(): Promise<void>;
}

/** A call that was noted, and what the plan wants. */
export interface Decision {
  readonly call: SimulatedCall;
  readonly fault: SimulatedFault | undefined;
}

export class SimulatedFile implements BackendFile {
  readonly #host: FileHost;
  readonly #name: string;
  readonly #file: DiskFile;
  readonly #readOnly: boolean;
  #isOpen = true;
  #syncFailure: AegisError | undefined;

  constructor(host: FileHost, name: string, file: DiskFile, readOnly: boolean) {
    this.#host = host;
    this.#name = name;
    this.#file = file;
    this.#readOnly = readOnly;
  }

  size(): number {
    this.#mustBeOpen();
    return this.#do('size', 0, 0, () => this.#file.seen.size);
  }

  read(target: Uint8Array, position: number): number {
    this.#mustBeOpen();
    checkPosition(position);
    return this.#do('read', position, target.length, () => this.#file.seen.read(target, position));
  }

  write(parts: readonly Uint8Array[], position: number): void {
    this.#mustBeWritable();
    const bytes = joined(parts, position);
    const { call, fault } = this.#host.decide('write', this.#name, position, bytes.length);
    this.#transfer(call, fault, bytes);
  }

  async sync(): Promise<void> {
    this.#mustBeOpen();
    if (this.#readOnly) return;
    const { call, fault } = this.#host.decide('sync', this.#name, 0, 0);
    const { order } = this.#host.disk;
    await this.#host.delay();
    this.#endSync(call, fault, order);
  }

  syncSync(): void {
    this.#mustBeOpen();
    if (this.#readOnly) return;
    const { call, fault } = this.#host.decide('syncSync', this.#name, 0, 0);
    this.#endSync(call, fault, this.#host.disk.order);
  }

  truncate(size: number): void {
    this.#mustBeWritable();
    checkPosition(size);
    this.#do('truncate', size, 0, () => this.#host.disk.truncate(this.#file, size));
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const { call } = this.#host.decide('close', this.#name, 0, 0);
    this.#host.ended(call);
  }

  #do<T>(operation: SimulatedOperation, position: number, length: number, work: () => T): T {
    const { call, fault } = this.#host.decide(operation, this.#name, position, length);
    if (fault?.errno !== undefined) throw failureOf(operation, this.#name, fault.errno);
    const answer = work();
    this.#host.ended(call);
    return answer;
  }

  #transfer(call: SimulatedCall, fault: SimulatedFault | undefined, bytes: Uint8Array): void {
    const { disk } = this.#host;
    if (fault?.lost) return;
    const position = fault?.misdirected ?? call.position;
    const room = disk.roomFor(this.#file, position, bytes.length);
    let errno: string | undefined = room < bytes.length ? 'ENOSPC' : undefined;
    let length = room;
    if (fault?.errno !== undefined) {
      errno = fault.errno;
      length = Math.min(room, this.#tornAt(fault.torn ?? 0, bytes.length));
    }
    disk.write(this.#file, bytes.subarray(0, length), position);
    this.#host.ended(call);
    if (errno !== undefined) throw failureOf('write', this.#name, errno);
  }

  #tornAt(torn: boolean | number, length: number): number {
    if (typeof torn === 'number') return torn;
    return torn ? this.#host.faultRandom.below(length + 1) : 0;
  }

  #endSync(call: SimulatedCall, fault: SimulatedFault | undefined, order: number): void {
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    if (fault?.errno !== undefined) {
      this.#file.lose(order, this.#host.faultRandom);
      this.#syncFailure = failureOf('sync', this.#name, fault.errno);
      this.#host.ended(call);
      throw this.#syncFailure;
    }
    if (!fault?.lost) this.#file.settle(order);
    this.#host.ended(call);
  }

  #mustBeOpen(): void {
    if (!this.#isOpen) throw new AegisError('CLOSED', `file ${this.#name} was closed`, { file: this.#name });
  }

  #mustBeWritable(): void {
    this.#mustBeOpen();
    if (!this.#readOnly) return;
    throw new AegisError('READ_ONLY', `file ${this.#name} was opened for reading`, { file: this.#name });
  }
}

/** All parts in one array, that of a single one; their place was checked. */
function joined(parts: readonly Uint8Array[], position: number): Uint8Array {
  checkPosition(position);
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  checkPosition(position + length);
  if (parts.length === 1) return parts[0]!;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

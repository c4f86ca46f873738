/**
 * Act three: transactions that get into each other's way. First two that change one key, step by step; then two that
 * change different keys, each because of what it read of the other's, which only `serializable` refuses.
 */
import type { IsolationLevel, StorageEngine, Transaction } from '../../index.ts';
import { AegisError } from '../../index.ts';
import type { Screen } from '../screen.ts';
import { padText } from '../table.ts';
import type { Stage } from './stage.ts';

const SEATS = 'train/seats';
const LEFT_WIDTH = 38;

/** The two sides of a story, told in two columns. */
class Story {
  readonly #screen: Screen;

  constructor(screen: Screen, left: string, right: string) {
    this.#screen = screen;
    screen.say(screen.paint('dim', `  ${padText(left, LEFT_WIDTH)}${right}`));
  }

  left(text: string): void {
    this.#screen.say(`  ${text}`);
  }

  right(text: string): void {
    this.#screen.say(`  ${' '.repeat(LEFT_WIDTH)}${text}`);
  }
}

export async function conflict(engine: StorageEngine, stage: Stage): Promise<void> {
  await sellSeats(engine, stage);
  await leaveTheWard(engine, stage);
}

/** Two agencies sell seats of one train; whoever commits second must not undo the first one's sale. */
async function sellSeats(engine: StorageEngine, { screen, proofs }: Stage): Promise<void> {
  screen.heading('conflict', 'two agencies sell seats of one train at the same moment');
  await engine.put(SEATS, '10');
  const story = new Story(screen, 'agency A', 'agency B');

  const a = engine.beginTransaction();
  const b = engine.beginTransaction();
  story.left(`reads: ${freeSeats(a)} free`);
  story.right(`reads: ${freeSeats(b)} free`);
  story.left(`sells 2, commits: ${sell(a, 2)} free`);
  await a.commit();
  story.right(`sells 3, writes: ${sell(b, 3)} free`);
  const answer = await answerOf(b.commit());
  story.right(`commits: ${answer}, nothing is changed`);
  proofs.check(answer === 'CONFLICT', 'the second commit of one key is refused', answer);

  screen.line();
  screen.say('B again, through engine.transaction(), and again A is quicker:');
  let attempts = 0;
  await engine.transaction(async (tx) => {
    if (++attempts > 1) story.right('commits: CONFLICT, so once more');
    story.right(`attempt ${attempts} reads: ${freeSeats(tx)} free`);
    if (attempts === 1) {
      await engine.transaction((other) => void story.left(`sells 1, commits: ${sell(other, 1)} free`));
    }
    story.right(`sells 3, writes: ${sell(tx, 3)} free`);
  });
  story.right('commits');
  const left = engine.getString(SEATS);
  proofs.check(
    left === '4' && attempts === 2,
    `the retry wins; ${left} of 10 seats are free after sales of 2, 1 and 3`,
    `${left} seats after ${attempts} attempts`,
  );
}

function freeSeats(tx: Transaction): number {
  return Number(tx.getString(SEATS));
}

/** Sells seats within a transaction; answers how many are free then. */
function sell(tx: Transaction, seats: number): number {
  const free = freeSeats(tx) - seats;
  tx.put(SEATS, String(free));
  return free;
}

/** Two doctors on call; each may go home if the other one stays. */
async function leaveTheWard(engine: StorageEngine, { screen, proofs }: Stage): Promise<void> {
  screen.heading('write skew', 'two doctors are on call; each goes home if she sees the other one stay');
  const snapshot = await bothLeave(engine, 'snapshot');
  screen.fact(`isolation 'snapshot'`, `Ann ${snapshot.ann}, Bea ${snapshot.bea}`, stayed(snapshot.onCall));
  const serializable = await bothLeave(engine, 'serializable');
  const { ann, bea, onCall } = serializable;
  screen.fact(`isolation 'serializable'`, `Ann ${ann}, Bea ${bea}`, stayed(onCall));
  proofs.check(
    bea === 'CONFLICT' && onCall === 1,
    'serializable keeps one doctor on call',
    `${bea}, ${onCall} on call`,
  );
}

function stayed(onCall: number): string {
  return onCall === 0 ? 'nobody stays; no serial order allows it' : `${onCall} stays`;
}

async function bothLeave(engine: StorageEngine, isolation: IsolationLevel) {
  await engine.batch([
    { type: 'put', key: 'ward/ann', value: 'on call' },
    { type: 'put', key: 'ward/bea', value: 'on call' },
  ]);
  const first = engine.beginTransaction({ isolation });
  const second = engine.beginTransaction({ isolation });
  if (first.getString('ward/bea') === 'on call') first.put('ward/ann', 'home');
  if (second.getString('ward/ann') === 'on call') second.put('ward/bea', 'home');
  const ann = await answerOf(first.commit());
  const bea = await answerOf(second.commit());
  const onCall = ['ward/ann', 'ward/bea'].filter((key) => engine.getString(key) === 'on call').length;
  return { ann, bea, onCall };
}

/** How a commit went, in one word. */
async function answerOf(commit: Promise<unknown>): Promise<string> {
  try {
    await commit;
    return 'commits';
  } catch (error) {
    if (error instanceof AegisError && error.retryable) return error.code;
    throw error;
  }
}

/* Both checkers on one history. */
import type { History, Violation } from './history.ts';
import { judgeLists } from './list-history.ts';
import type { Settings } from './settings.ts';
import { checkWhiteBox } from './white-box.ts';

/** What the black-box checker holds against a history. */
export function judgeBlackBox(history: History, listKeys: readonly string[]): Violation[] {
  return history.epochs.flatMap((epoch, index) => {
    const found = history.epochs[index + 1]?.initial ?? history.final.state;
    return judgeLists(epoch, found, listKeys).violations.map(({ anomaly, ids, detail }) => ({
      what: `${anomaly}: ${detail}`,
      ids,
    }));
  });
}

/** What either holds against it. */
export function judgeHistory(history: History, settings: Settings): Violation[] {
  return [...checkWhiteBox(history), ...judgeBlackBox(history, settings.listKeys)];
}

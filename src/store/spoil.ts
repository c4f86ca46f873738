/**
 * Spoilt pages: pages that a durable change could not be made in, because they could not be read. The change is
 * skipped, and the page must never be believed again, even if a later read of it succeeds. So its reference gets a
 * checksum that no block has; the next checkpoint makes that durable. Until its tree is dropped, or the store is
 * salvaged, every read of what lies in it or below it is CORRUPTION.
 */
import { isSpoilt } from './directory.ts';
import type { Pager } from './pager.ts';

/** Whether a page's newest version lies in the file only. */
export function isHidden({ core, directory }: Pager, page: number): boolean {
  return core.x.frameNewest(page) === 0 && directory.place(page).sectors > 0;
}

/** Sees to it that a page that cannot be read is never read again. One that lies in a frame is damaged there for good. */
export function spoil(pager: Pager, page: number): void {
  pager.drain();
  if (isHidden(pager, page)) pager.directory.spoil(page);
}

/** Whether a page was spoilt, in this session or an earlier one. */
export function isSpoiltPage({ directory }: Pager, page: number): boolean {
  return isSpoilt(directory.place(page));
}

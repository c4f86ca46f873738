/* What a type-level test is made of. A claim that does not hold does not compile. */

/** Whether two types are the same, not only assignable. */
export type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Whether one type can stand where another is asked for. */
export type Fits<A, B> = [A] extends [B] ? true : false;

/** Whether each of two types can stand for the other: for tuples, whose labels make them different to `Same`. */
export type Alike<A, B> = Fits<A, B> extends true ? Fits<B, A> : false;

/** Claims that all hold. */
export type Holds<Claims extends readonly true[]> = Claims['length'];

/** The members of a contract that a type does not have, or has as something else. */
export type Differing<Type, Contract> = {
  [Name in keyof Contract]-?: Name extends keyof Type
    ? Same<Type[Name], Contract[Name]> extends true
      ? never
      : Name
    : Name;
}[keyof Contract];

/** What a class has that its contract does not say: names to look at when something is exported by mistake. */
export type Extra<Type, Contract> = Exclude<keyof Type, keyof Contract>;

/** Whether nothing differs. */
export type Keeps<Type, Contract> = Same<Differing<Type, Contract>, never>;

// Controls: the tools see a difference when there is one.
interface Control {
  same(key: string, limit?: number): string | undefined;
  readonly other: number;
}
export type Controls = Holds<
  [
    Keeps<Control, Control>,
    Same<Keeps<Control, { same(key: string, limit: number): string | undefined }>, false>,
    Same<Keeps<Control, { same(key: string, limit?: number): string }>, false>,
    Same<Differing<Control, { other: string; missing: number }>, 'other' | 'missing'>,
    Same<Extra<Control, { other: number }>, 'same'>,
    Same<Same<1 | 2, 1>, false>,
    Same<Fits<1, number>, true>,
  ]
>;
// @ts-expect-error A claim that is false.
export type Broken = Holds<[Same<1, 2>]>;

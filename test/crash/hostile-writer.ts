/* The program that is killed, as a hostile caller. */
import '../support/hostile-caller.ts';
import './writer.ts';

#!/usr/bin/env node
/**
 * The bin `aegis`: runs the program in this process.
 */
import { runProgram } from './program.ts';
import { ownSurroundings } from './surroundings.ts';

process.exitCode = await runProgram(process.argv.slice(2), ownSurroundings());

/*
 * Runs the smoke test in every runtime this machine has: this Node, the newest Node, Deno and Bun (npm packages of
 * this folder, started by path) and headless Chromium. An absent runtime is skipped with one line, or is a failure
 * when AEGIS_REQUIRE_ALL=1. CHROMIUM=path names another browser.
 *
 * `npm run build` must have run before; the last line counts, and the exit status is 0 only if nothing failed.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const modules = join(here, 'node_modules');
const requireAll = process.env.AEGIS_REQUIRE_ALL === '1';
const timeLimitMs = 120_000;

const { platform, arch } = process;
const exe = platform === 'win32' ? '.exe' : '';
const nodePackages = [
  `node-${platform === 'win32' ? 'win' : platform}-${arch}`,
  `node-bin-${platform}-${arch}`,
];
const libc = platform === 'linux' ? '-glibc' : '';
const bunArch = arch === 'arm64' ? 'aarch64' : arch;
const bunPlatform = platform === 'win32' ? 'windows' : platform;

/** Runtimes that are one program; the first path that exists is taken. */
const programs = [
  { name: 'Node', paths: [process.execPath], flags: [] },
  {
    name: 'newest Node',
    paths: nodePackages.map((name) => join(modules, name, `bin/node${exe}`)),
    flags: [],
  },
  {
    name: 'Deno',
    paths: [join(modules, `@deno/${platform}-${arch}${libc}/deno${exe}`)],
    flags: ['run', '--quiet', '--no-prompt', '--allow-all'],
  },
  { name: 'Bun', paths: [join(modules, `@oven/bun-${bunPlatform}-${bunArch}/bin/bun${exe}`)], flags: [] },
];
const browsers = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
const browserFlags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
].concat(['--disable-background-networking', '--disable-component-update', '--disable-sync']);

const counts = { passed: 0, failed: 0, skipped: 0 };

async function attempt(name, present, run) {
  const started = performance.now();
  if (!present && !requireAll) {
    counts.skipped += 1;
    console.log(`- ${name}: skipped, not installed`);
    return;
  }
  try {
    if (!present) throw new Error('not installed');
    const answer = await run();
    counts.passed += 1;
    console.log(`✓ ${name} (${Math.round(performance.now() - started)} ms): ${answer}`);
  } catch (error) {
    counts.failed += 1;
    console.log(`✗ ${name}: ${error.message}`);
  }
}

/** Answers what a program printed, or throws with everything it said. */
function output(program, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: here,
      timeout: timeLimitMs,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
    }
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) resolve(text.trim());
      else reject(new Error(`ended with ${signal ?? status}\n${text}`));
    });
  });
}

const page = `<!doctype html><title>aegis-storage</title><link rel="icon" href="data:,"><script type="module">
import * as aegis from '/build/browser.js';
import { smoke } from '/test/runtimes/smoke.mjs';
try { window.answer = { done: await smoke(aegis) }; } catch (error) { window.answer = { error: error.stack }; }
</script>`;
const served = /^\/(build\/(chunks\/)?[\w-]+\.js|test\/runtimes\/smoke\.mjs)$/;

/**
 * Serves the page and the modules it needs. The strictest policy that WebAssembly can live with has no room for zstd,
 * which needs `unsafe-eval`.
 */
function serve(policy) {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, 'http://localhost').pathname);
    response.setHeader('content-security-policy', `script-src 'self' 'unsafe-inline' ${policy}`);
    if (path === '/') {
      response.setHeader('content-type', 'text/html').end(page);
    } else if (served.test(path)) {
      response.setHeader('content-type', 'text/javascript').end(await readFile(join(root, path)));
    } else {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

async function runInBrowser(executablePath, policy) {
  const { chromium } = await import('playwright-core');
  const server = await serve(policy);
  const browser = await chromium.launch({ executablePath, args: browserFlags, timeout: timeLimitMs });
  try {
    const tab = await browser.newPage();
    const complaints = [];
    tab.on('pageerror', (error) => complaints.push(error.message));
    tab.on('console', (message) => complaints.push(message.text()));
    await tab.goto(`http://127.0.0.1:${server.address().port}/`);
    // Asked again and again from outside: what polls inside the page needs eval, which the policy forbids.
    let answer;
    for (const end = Date.now() + timeLimitMs; answer === undefined; ) {
      if (Date.now() > end) throw new Error(['no answer', ...complaints].join('\n'));
      await new Promise((resolve) => setTimeout(resolve, 50));
      answer = await tab.evaluate('window.answer');
    }
    if (answer.error !== undefined) throw new Error(answer.error);
    return `${browser.version()}: ${answer.done.join('; ')}`;
  } finally {
    await browser.close();
    server.close();
  }
}

for (const bundle of ['index', 'browser']) {
  if (existsSync(join(root, `build/${bundle}.js`))) continue;
  console.error(`build/${bundle}.js is not there: npm run build`);
  process.exit(1);
}
for (const { name, paths, flags } of programs) {
  const program = paths.find((path) => existsSync(path));
  await attempt(name, program !== undefined, async () => {
    const version = (await output(program, ['--version'])).split('\n')[0];
    return `${version}: ${await output(program, [...flags, 'smoke-host.mjs'])}`;
  });
}
const browser = browsers.find((path) => path !== undefined && existsSync(path));
await attempt('Chromium', browser !== undefined, () => runInBrowser(browser, "'wasm-unsafe-eval'"));
await attempt('Chromium, eval allowed', browser !== undefined, () => runInBrowser(browser, "'unsafe-eval'"));

console.log(`runtimes: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed > 0 ? 1 : 0;

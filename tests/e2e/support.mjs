// Starts the real binary and waits for what it says, never for a guessed time.
import { spawn, execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const here = dirname(fileURLToPath(import.meta.url));
export const binary = resolve(process.env.MASKINPORTEN_PROXY_BINARY ?? join(here, '../../target/release/maskinporten-proxy'));
export const bin = (name) => join(here, 'node_modules/.bin', name);

const LIMIT_MS = 30_000;

/** A process whose output is kept, with waits on what it prints. */
export class Process {
  constructor(args, { env = {}, cwd, command = binary } = {}) {
    this.output = '';
    this.waiters = new Set();
    this.child = spawn(command, args, { env: { ...cleanEnvironment(), ...env }, cwd });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        this.output += text;
        for (const waiter of this.waiters) waiter();
      });
    }
    this.exited = new Promise((done) => this.child.on('close', (code, signal) => done({ code, signal })));
  }

  /** The first match of `pattern` in the output so far or to come. */
  async says(pattern) {
    let timer;
    const found = new Promise((done, fail) => {
      const look = () => {
        const match = this.output.match(pattern);
        if (match) done(match);
      };
      this.waiters.add(look);
      this.exited.then(({ code }) => fail(new Error(`exited with ${code} before it said ${pattern}:\n${this.output}`)));
      timer = setTimeout(() => fail(new Error(`never said ${pattern}:\n${this.output}`)), LIMIT_MS);
      look();
    });
    try {
      return await found;
    } finally {
      clearTimeout(timer);
      this.waiters.clear();
    }
  }

  async stop() {
    this.child.kill('SIGTERM');
    return this.exited;
  }
}

/** The environment without what would reach into the program or reroute its traffic. */
function cleanEnvironment() {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(MASKINPORTEN_|https?_proxy$|no_proxy$|all_proxy$|RUST_LOG$)/i.test(name)),
  );
}

/** A sandbox with its files in a folder of its own. */
export async function startSandbox() {
  const dir = mkdtempSync(join(tmpdir(), 'mp-e2e-'));
  const sandbox = new Process(['sandbox', '--listen', '127.0.0.1:0', '--out', dir]);
  const [, url] = await sandbox.says(/sandbox\S* .*?(http:\/\/127\.0\.0\.1:\d+)/i);
  await sandbox.says(/^wrote /m);
  return {
    dir,
    url,
    config: join(dir, 'proxy.toml'),
    async stop() {
      await sandbox.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** A proxy on free ports, ready to serve. */
export async function startProxy(config, { env = {}, args = [] } = {}) {
  const proxy = new Process(['serve', '--config', config, '--log-format', 'json', ...args], {
    env: { MASKINPORTEN_PROXY_LISTEN: '127.0.0.1:0', MASKINPORTEN_PROXY_ADMIN: '127.0.0.1:0', ...env },
  });
  const [, url] = await proxy.says(/"proxy":"(http:\/\/127\.0\.0\.1:\d+)"/);
  const [, admin] = await proxy.says(/"admin":"(http:\/\/127\.0\.0\.1:\d+)"/);
  await until(async () => (await fetch(`${admin}/readyz`)).status === 200, 'the proxy is ready');
  return { url, admin, process: proxy, stop: () => proxy.stop() };
}

/** Polls a condition; fails with its name when it does not come to hold. */
export async function until(condition, name) {
  const end = Date.now() + LIMIT_MS;
  for (;;) {
    if (await condition()) return;
    if (Date.now() > end) throw new Error(`never came to hold: ${name}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Runs a command to its end: `{ code, stdout, stderr }`, whatever its exit code. */
export async function run(command, args, { env = {}, cwd } = {}) {
  try {
    const { stdout, stderr } = await promisify(execFile)(command, args, {
      env: { ...cleanEnvironment(), ...env },
      cwd,
      timeout: 120_000,
      maxBuffer: 32 << 20,
    });
    return { code: 0, stdout, stderr };
  } catch (error) {
    if (typeof error.code !== 'number') throw error;
    return { code: error.code, stdout: error.stdout, stderr: error.stderr };
  }
}

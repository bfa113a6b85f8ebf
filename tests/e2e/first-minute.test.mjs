// A person's path from an empty folder with a keystore to the first answered request: the README's
// commands, one after the other, against a sandbox. Timed and printed; how long it takes is no test.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { binary, run, here, startProxy, startSandbox } from './support.mjs';

const PASSWORD = 'changeit';

let sandbox;
let folder;

before(async () => {
  sandbox = await startSandbox();
  folder = mkdtempSync(join(tmpdir(), 'mp-first-'));
});
after(async () => {
  await sandbox?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** A keystore as the certificate's issuer delivers it: key and chain under one password. */
async function deliverKeystore() {
  const made = await run('openssl', [
    'pkcs12', '-export', '-inkey', join(sandbox.dir, 'key.pem'), '-in', join(sandbox.dir, 'certificate.pem'),
    '-name', 'min-nokkel', '-passout', `pass:${PASSWORD}`, '-out', join(folder, 'virksomhet.p12'),
  ]);
  assert.equal(made.code, 0, made.stderr);
}

/** Runs the binary with lines on its stdin. */
function answering(args, lines, env) {
  return new Promise((done) => {
    const child = spawn(binary, args, { cwd: folder, env: { PATH: process.env.PATH, ...env } });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => { stdout += data; });
    child.stderr.on('data', (data) => { stderr += data; });
    child.on('close', (code) => done({ code, stdout, stderr }));
    child.stdin.end(lines.map((line) => `${line}\n`).join(''));
  });
}

test('the commands that this follows are the ones in the README', () => {
  const readme = readFileSync(join(here, '../../README.md'), 'utf8');
  const section = readme.split('## From an empty folder to the first answer')[1].split('\n## ')[0];
  const commands = [...section.matchAll(/^(maskinporten-proxy\S*(?: [a-z]+)*|curl)/gm)].map(([text]) => text.trim());
  assert.deepEqual(commands, [
    'maskinporten-proxy key inspect virksomhet',
    'maskinporten-proxy init',
    'maskinporten-proxy check',
    'maskinporten-proxy',
    'curl',
  ]);
});

test('from an empty folder to the first answer', async () => {
  await deliverKeystore();
  // The client of the sandbox that signs with its business certificate stands in a comment.
  const clientId = readFileSync(sandbox.config, 'utf8').match(/^# client_id = "(.*)"$/m)[1];
  const env = { KEYSTORE_PASSWORD: PASSWORD };
  const steps = [];
  const timed = async (name, work) => {
    const start = performance.now();
    const result = await work();
    steps.push([name, performance.now() - start]);
    return result;
  };

  const inspected = await timed('key inspect', () =>
    run(binary, ['key', 'inspect', 'virksomhet.p12', '--password-env', 'KEYSTORE_PASSWORD'], { cwd: folder, env }));
  assert.equal(inspected.code, 0, inspected.stderr);
  assert.match(inspected.stdout, /min-nokkel/);

  const answers = [
    `${sandbox.url}/`, // environment
    clientId,
    'virksomhet.p12',
    '', // the password's variable: KEYSTORE_PASSWORD
    '', // no kid: the certificate is sent
    `${sandbox.url}/clients`,
    '', // scopes: idporten:dcr.read
    '', // path: /clients
  ];
  const initialised = await timed('init', () => answering(['init'], answers, env));
  assert.equal(initialised.code, 0, initialised.stderr);
  assert.match(initialised.stdout, /^wrote proxy\.toml/);

  const checked = await timed('check', () => run(binary, ['check'], { cwd: folder, env }));
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);

  const proxy = await timed('serve, until it is ready', () => startProxy(join(folder, 'proxy.toml'), { env }));
  try {
    const answer = await timed('curl', () => fetch(`${proxy.url}/clients`));
    assert.equal(answer.status, 200);
    const clients = await answer.json();
    assert.ok(clients.some((client) => client.client_id === clientId));
  } finally {
    await proxy.stop();
  }

  const total = steps.reduce((sum, [, took]) => sum + took, 0);
  const lines = [...steps, ['together', total]].map(([name, took]) => `${name.padEnd(26)}${took.toFixed(0).padStart(6)} ms`);
  console.log(lines.join('\n'));
});

test('the pipeline of docs/ci.md does what it says', async () => {
  const page = readFileSync(join(here, '../../docs/ci.md'), 'utf8');
  // Its configuration loads, wherever the keystore comes from.
  const config = page.match(/`ci\/proxy\.toml`:\n\n```toml\n([\s\S]*?)```/)[1];
  writeFileSync(join(folder, 'ci.toml'), config);
  const shown = await run(binary, ['config', 'show', '--config', 'ci.toml'], { cwd: folder });
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /client_id = "238259d7-f0ab-4bd5-b253-0f0159375096"/);
  // Every subcommand and flag on the page is one that the program has.
  for (const [, line] of page.matchAll(/(?:^|run: )maskinporten-proxy ([^\n`]*)/gm)) {
    const [command, ...rest] = line.split(' -- ')[0].split(' ');
    const help = await run(binary, [command, '--help']);
    assert.equal(help.code, 0, `${command}: ${help.stderr}`);
    for (const flag of rest.filter((word) => word.startsWith('--'))) {
      assert.ok(help.stdout.includes(flag), `${command} has no ${flag}`);
    }
  }
});

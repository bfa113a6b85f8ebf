// `run --proxy-env` with interception: commands that keep the real https:// URLs need no flag and
// no variable of their own, and verify TLS in full.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { API, OTHER, startWorld } from './forward/world.mjs';
import { bin, binary, run } from './support.mjs';

let world;
before(async () => { world = await startWorld(); });
after(() => world?.stop());

const url = `https://${API}/v1/x`;

/** Runs a command behind a proxy of its own, beside what is trusted already: the "public" CA. */
function behind(command, { flags = ['--proxy-env'] } = {}) {
  const configs = ['--config', world.sandbox.config, '--config', join(world.sandbox.dir, 'forward.toml')];
  const env = { SSL_CERT_FILE: world.publicCa };
  return run(binary, ['run', ...configs, ...flags, '--', ...command], { env });
}

const python = (lines) => ['python3', '-c', lines.join('\n')];
const clients = {
  curl: ['curl', '-sS', '--max-time', '30', url],
  'Python urllib': python(['import urllib.request', `print(urllib.request.urlopen('${url}').read().decode())`]),
  'Python requests': python(['import requests', `print(requests.get('${url}').text)`]),
};

for (const [name, command] of Object.entries(clients)) {
  test(`${name} gets a token for a https:// URL`, async (context) => {
    if (name.endsWith('requests') && (await run('python3', ['-c', 'import requests'])).code !== 0) {
      context.skip('there is no requests here');
      return;
    }
    const { code, stdout, stderr } = await behind(command);
    assert.equal(code, 0, stderr);
    const said = JSON.parse(stdout);
    assert.deepEqual([said.host, said.path, said.authorization], [API, '/v1/x', 'a token']);
  });
}

test('newman gets a token for a https:// URL', async () => {
  const file = join(world.sandbox.dir, 'real-url.json');
  const exec = ["pm.test('a token', () => pm.expect(pm.response.json().authorization).to.equal('a token'));"];
  writeFileSync(file, JSON.stringify({
    info: { name: 'real URL', schema: 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json' },
    item: [{ name: 'read', request: { method: 'GET', url }, event: [{ listen: 'test', script: { exec } }] }],
  }));
  const { code, stdout, stderr } = await behind([bin('newman'), 'run', file]);
  assert.equal(code, 0, stdout + stderr);
});

test('another host is tunnelled to as it is, and trusted as before', async () => {
  const { code, stdout, stderr } = await behind(['curl', '-sS', '--max-time', '30', `https://${OTHER}/x`]);
  assert.equal(code, 0, stderr);
  const said = JSON.parse(stdout);
  assert.deepEqual([said.host, said.authorization], [OTHER, '']);
});

test('without --proxy-env the command is on its own', async () => {
  const seen = world.seen.length;
  const { code } = await behind(['curl', '-sS', '--max-time', '30', url], { flags: [] });
  assert.equal(code, 6, 'the name cannot be resolved here');
  assert.equal(world.seen.length, seen);
});

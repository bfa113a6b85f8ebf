// Postman's own runner against the self-service API of the sandbox, through the proxy: its
// Authorization empty, a dummy, or one that somebody pasted once.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { writeFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import postman from 'postman-collection';
import { bin, binary, run, startProxy, startSandbox } from './support.mjs';

const { Collection } = postman;

let sandbox;
let proxy;

before(async () => {
  sandbox = await startSandbox();
  proxy = await startProxy(sandbox.config);
});
after(async () => {
  await proxy?.stop();
  await sandbox?.stop();
});

function collection(auth) {
  const is = (status) => [
    { listen: 'test', script: { exec: [`pm.test('status ${status}', () => pm.response.to.have.status(${status}));`] } },
  ];
  const keep = {
    listen: 'test',
    script: { exec: ["pm.collectionVariables.set('clientId', pm.response.json().client_id);"] },
  };
  const json = (body) => ({ mode: 'raw', raw: JSON.stringify(body), options: { raw: { language: 'json' } } });
  const client = {
    integration_type: 'maskinporten',
    client_name: 'made by newman',
    description: 'made by newman',
    token_endpoint_auth_method: 'private_key_jwt',
    grant_types: ['urn:ietf:params:oauth:grant-type:jwt-bearer'],
    scopes: [],
  };
  return {
    info: { name: 'through the proxy', schema: 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json' },
    auth,
    variable: [{ key: 'clientId', value: '' }],
    item: [
      { name: 'list', event: is(200), request: { method: 'GET', url: '{{baseUrl}}/clients' } },
      { name: 'create', event: [...is(200), keep], request: { method: 'POST', url: '{{baseUrl}}/clients', body: json(client) } },
      { name: 'read', event: is(200), request: { method: 'GET', url: '{{baseUrl}}/clients/{{clientId}}' } },
      { name: 'delete', event: is(204), request: { method: 'DELETE', url: '{{baseUrl}}/clients/{{clientId}}' } },
    ],
  };
}

const authorizations = {
  none: undefined,
  'an empty bearer token': { type: 'bearer', bearer: [{ key: 'token', value: '' }] },
  'a dummy token': { type: 'bearer', bearer: [{ key: 'token', value: 'dummy' }] },
  'basic credentials': { type: 'basic', basic: [{ key: 'username', value: 'a' }, { key: 'password', value: 'b' }] },
};

for (const [name, auth] of Object.entries(authorizations)) {
  test(`newman runs green with ${name} in Authorization`, async () => {
    const file = join(sandbox.dir, 'collection.json');
    const report = join(sandbox.dir, 'report.json');
    writeFileSync(file, JSON.stringify(collection(auth)));
    const result = await run(bin('newman'), [
      'run', file, '--env-var', `baseUrl=${proxy.url}`, '--reporters', 'json', '--reporter-json-export', report,
    ]);
    const { stats, failures } = JSON.parse(readFileSync(report)).run;
    assert.deepEqual(failures.map((failure) => failure.error.message), [], result.stdout);
    assert.equal(stats.assertions.total, 4);
    assert.equal(result.code, 0);
  });
}

test('the collection that `postman` writes runs green under `run`, as it is, and again', async () => {
  const out = join(sandbox.dir, 'postman');
  const written = await run(binary, ['postman', '--config', sandbox.config, '--out', out]);
  assert.equal(written.code, 0, written.stderr);
  const collection = join(out, 'maskinporten-proxy.postman_collection.json');
  const parsed = new Collection(JSON.parse(readFileSync(collection)));
  let requests = 0;
  parsed.forEachItem((item) => {
    requests += 1;
    assert.match(item.request.url.toString(), /^\{\{baseUrl\}\}\//);
    assert.equal(item.getAuth()?.type ?? 'noauth', 'noauth', item.name);
  });
  assert.ok(requests >= 16, `only ${requests} requests`);

  const report = join(sandbox.dir, 'run-report.json');
  for (const round of ['first', 'second']) {
    const result = await run(binary, [
      'run', '--config', sandbox.config, '--',
      bin('newman'), 'run', collection,
      '-e', join(out, 'maskinporten-proxy.postman_environment.json'),
      '--env-var', 'baseUrl={url}', '--reporters', 'json', '--reporter-json-export', report,
    ]);
    assert.equal(result.code, 0, result.stdout + result.stderr);
    const { stats, failures } = JSON.parse(readFileSync(report)).run;
    assert.deepEqual(failures, [], round);
    assert.equal(stats.requests.total, requests);
    assert.ok(stats.assertions.total >= requests, `only ${stats.assertions.total} assertions ran`);
  }
});

test('a collection that fails makes the pipeline fail, and the summary says who failed', async () => {
  const file = join(sandbox.dir, 'failing.json');
  const item = { name: 'nowhere', request: { method: 'GET', url: '{{baseUrl}}/nowhere' }, event: [
    { listen: 'test', script: { exec: ["pm.test('status 200', () => pm.response.to.have.status(200));"] } },
  ] };
  writeFileSync(file, JSON.stringify({ ...collection(), item: [item] }));
  const result = await run(binary, [
    'run', '--config', sandbox.config, '--', bin('newman'), 'run', file, '--env-var', 'baseUrl={url}',
  ]);
  assert.equal(result.code, 1, result.stdout);
  assert.match(result.stderr, /maskinporten-proxy: 1 of 1 requests failed:\n {2}GET \/nowhere 404: the client failed/);
});

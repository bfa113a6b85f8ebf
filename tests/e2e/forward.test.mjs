// Clients that only have a proxy setting, verifying TLS in full: with the local CA's root and
// nothing else where the proxy adds the token, with the server's own CA where it does not.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { dirname, join } from 'node:path';
import { API, OTHER, certify, openssl, startWorld } from './forward/world.mjs';
import { bin, here, run } from './support.mjs';

let world;
before(async () => { world = await startWorld(); });
after(() => world?.stop());

const program = (name) => join(here, 'forward', name);
const curl = (...args) => run('curl', ['--silent', '--show-error', '--max-time', '30', ...args]);

function assertToken(said, { method = 'GET', path = '/v1/x', body = '' } = {}) {
  assert.equal(said.host, API);
  assert.deepEqual([said.method, said.path, said.body], [method, path, body]);
  assert.equal(said.authorization, 'a token');
  assert.ok(said.token.iss.startsWith(world.sandbox.url), said.token.iss);
  assert.equal(said.token.scope, 'demo:api');
}

test('`ca path` prints an absolute path, alone, and the key is for its owner', () => {
  assert.match(world.root, /^\/[^\n]*\/root\.pem$/);
  const dir = dirname(world.root);
  assert.equal(statSync(dir).mode & 0o777, 0o700);
  assert.equal(statSync(join(dir, 'intermediate.key')).mode & 0o777, 0o600);
});

test('curl needs no CA for http:// URLs', async () => {
  const { code, stdout, stderr } = await curl('-x', world.proxy.url, `http://${API}/v1/a%2Fb?q=%20`);
  assert.equal(code, 0, stderr);
  assertToken(JSON.parse(stdout), { path: '/v1/a%2Fb?q=%20' });
});

for (const version of ['--http1.1', '--http2']) {
  test(`curl trusts the root for https:// URLs, ${version}`, async () => {
    const { code, stdout, stderr } = await curl(version, '-x', world.proxy.url, '--cacert', world.root,
      '-w', '\n%{http_version}', '-H', 'Authorization: Bearer pasted', '-d', 'from curl', `https://${API}/v1/x`);
    assert.equal(code, 0, stderr);
    const [said, spoken] = stdout.split('\n');
    assertToken(JSON.parse(said), { method: 'POST', body: 'from curl' });
    assert.equal(spoken, version === '--http2' ? '2' : '1.1');
  });
}

test('curl takes the proxy from HTTPS_PROXY and the root from its variable', async () => {
  const env = { HTTPS_PROXY: world.proxy.url, CURL_CA_BUNDLE: world.root };
  const { code, stdout, stderr } = await run('curl', ['-sS', `https://${API}/v1/x`], { env });
  assert.equal(code, 0, stderr);
  assertToken(JSON.parse(stdout));
});

test('curl without the root refuses the certificate, and no token is used', async () => {
  const before = world.seen.length;
  const { code } = await curl('-x', world.proxy.url, '--cacert', world.publicCa, `https://${API}/v1/x`);
  assert.equal(code, 60);
  assert.equal(world.seen.length, before);
});

test('another Host inside the tunnel is misdirected', async () => {
  const before = world.seen.length;
  const { code, stdout } = await curl('-x', world.proxy.url, '--cacert', world.root,
    '-H', `Host: ${OTHER}`, '-w', '\n%{http_code}', `https://${API}/v1/x`);
  assert.equal(code, 0);
  assert.match(stdout, /misdirected.*\n421$/s);
  assert.equal(world.seen.length, before);
});

test('other hosts are tunnelled blind: curl sees the server’s own certificate', async () => {
  const url = `https://${OTHER}/x`;
  const own = await curl('-x', world.proxy.url, '--cacert', world.publicCa, '-H', 'Authorization: mine', url);
  assert.equal(own.code, 0, own.stderr);
  const said = JSON.parse(own.stdout);
  assert.deepEqual([said.host, said.authorization], [OTHER, 'mine']);
  const ours = await curl('-x', world.proxy.url, '--cacert', world.root, url);
  assert.equal(ours.code, 60, 'the local CA cannot be behind it');
});

test('other hosts get http:// requests without a token', async () => {
  const { stdout } = await curl('-x', world.proxy.url, '-H', 'Authorization: mine', `http://${OTHER}/x`);
  assert.equal(JSON.parse(stdout).authorization, 'mine');
});

test('curl sends the inbound password for both kinds of URL', async () => {
  const guarded = await world.another('[inbound]\npassword = "correct horse"\n');
  try {
    const withPassword = guarded.url.replace('://', '://any:correct%20horse@');
    for (const url of [`http://${API}/v1/x`, `https://${API}/v1/x`]) {
      const without = await curl('-x', guarded.url, '--cacert', world.root, '-o', '/dev/null',
        '-w', '%{http_code} %{http_connect}', url);
      assert.match(without.stdout, /407/, url);
      const given = await curl('-x', withPassword, '--cacert', world.root, url);
      assert.equal(given.code, 0, given.stderr);
      assertToken(JSON.parse(given.stdout));
    }
  } finally {
    await guarded.stop();
  }
});

test('Node trusts the root by NODE_EXTRA_CA_CERTS', async () => {
  const args = [program('client.mjs'), world.port, API, '/v1/x'];
  const trusting = await run('node', args, { env: { NODE_EXTRA_CA_CERTS: world.root } });
  assert.equal(trusting.code, 0, trusting.stderr);
  assertToken(JSON.parse(trusting.stdout), { method: 'POST', body: 'from Node' });
  const wary = await run('node', args);
  assert.notEqual(wary.code, 0);
  assert.match(wary.stderr, /SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT|UNABLE_TO_VERIFY/);
});

function collection(url) {
  return {
    info: { name: 'by proxy setting', schema: 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json' },
    item: [{
      name: 'read',
      request: { method: 'GET', url },
      event: [{ listen: 'test', script: { exec: [
        "pm.test('a token', () => pm.expect(pm.response.json().authorization).to.equal('a token'));",
      ] } }],
    }],
  };
}

for (const [scheme, variable] of [['http', 'HTTP_PROXY'], ['https', 'HTTPS_PROXY']]) {
  test(`newman takes ${variable} for ${scheme}:// URLs`, async () => {
    const file = join(world.sandbox.dir, `${scheme}.json`);
    writeFileSync(file, JSON.stringify(collection(`${scheme}://${API}/v1/x`)));
    const trust = scheme === 'https' ? ['--ssl-extra-ca-certs', world.root] : [];
    const args = ['run', file, '--reporters', 'cli', '--timeout-request', '30000'];
    const env = { [variable]: world.proxy.url };
    const green = await run(bin('newman'), [...args, ...trust], { env });
    assert.equal(green.code, 0, green.stdout + green.stderr);
    if (scheme === 'https') {
      const wary = await run(bin('newman'), args, { env });
      assert.notEqual(wary.code, 0, 'TLS is verified');
    }
  });
}

test('Postman’s engine needs its proxy setting for http://, and the root too for https://', async () => {
  const ask = (url, ...trust) => run('node', [program('postman.mjs'), world.port, url, ...trust]);
  const plain = await ask(`http://${API}/v1/x`);
  assert.equal(plain.code, 0, plain.stderr);
  assertToken(JSON.parse(plain.stdout));
  const secure = await ask(`https://${API}/v1/x`, world.root);
  assert.equal(secure.code, 0, secure.stderr);
  assertToken(JSON.parse(secure.stdout));
  const wary = await ask(`https://${API}/v1/x`);
  assert.notEqual(wary.code, 0);
  assert.match(wary.stderr, /UNABLE_TO_GET_ISSUER_CERT|SELF_SIGNED_CERT_IN_CHAIN/);
});

test('Python trusts the root, by tunnel and by proxy handler', async () => {
  const args = [program('client.py'), world.port, API, '/v1/x'];
  const { code, stdout, stderr } = await run('python3', [...args, world.root]);
  assert.equal(code, 0, stderr);
  const [first, second, secure, plain] = JSON.parse(stdout);
  for (const said of [first, second]) assertToken(said, { method: 'POST', body: 'from Python' });
  for (const said of [secure, plain]) assertToken(said);
  const wary = await run('python3', [...args, world.publicCa]);
  assert.notEqual(wary.code, 0);
  assert.match(wary.stderr, /CERTIFICATE_VERIFY_FAILED/);
});

test('Java trusts a truststore that is made as `ca show` says', async () => {
  const java = (await world.ca('show')).split('\n\n').find((part) => part.startsWith('Java'));
  const commands = java.split('\n').slice(1).map((line) => line.trim());
  const dir = join(world.sandbox.dir, 'java');
  mkdirSync(dir);
  const home = (await run('java', ['-XshowSettings:properties', '-version'])).stderr.match(/java\.home = (.*)/)[1];
  const env = { JAVA_HOME: home };
  for (const command of commands.filter((line) => /^(cp|keytool) /.test(line))) {
    const { code, stdout, stderr } = await run('sh', ['-c', command], { cwd: dir, env });
    assert.equal(code, 0, `${command}\n${stdout}${stderr}`);
  }
  const properties = commands.find((line) => line.startsWith('java ')).split(' ').filter((word) => word.startsWith('-D'));
  assert.equal(properties.length, 2, commands.join('\n'));
  const args = [program('Client.java'), world.port, API, '/v1/x'];
  const trusting = await run('java', [...properties, ...args], { cwd: dir });
  assert.equal(trusting.code, 0, trusting.stderr);
  const lines = trusting.stdout.trim().split('\n');
  assert.equal(lines.length, 10);
  for (const line of lines) {
    const [, status, , body] = line.match(/^(\d+) (\S+) (.*)$/);
    assert.equal(status, '200', line);
    assertToken(JSON.parse(body), { method: 'POST', body: 'from Java' });
  }
  assert.ok(lines.some((line) => line.includes('HTTP_2')), 'HTTP/2 inside the tunnel');
  const wary = await run('java', args);
  assert.notEqual(wary.code, 0);
  assert.match(wary.stderr, /SSLHandshakeException|unable to find valid certification path/);
});

test('what a thief signs with the stolen key is refused for every other name', async () => {
  const dir = join(world.sandbox.dir, 'stolen');
  mkdirSync(dir);
  for (const file of ['root.pem', 'intermediate.pem', 'intermediate.key']) {
    copyFileSync(join(dirname(world.root), file), join(dir, file));
  }
  const stolen = { ca: 'intermediate.pem', key: 'intermediate.key' };
  const verify = (name) => openssl(dir, 'verify', '-no-CApath', '-CAfile', 'root.pem', '-untrusted', 'intermediate.pem',
    '-purpose', 'sslserver', `${name}.pem`);

  // The positive control: the same way of forging, for the name that the CA may vouch for.
  certify(dir, API, stolen);
  assert.match(verify(API), /: OK/);

  for (const name of [OTHER, 'maskinporten.no', `sub.${API}`, 'example.test']) {
    const forged = certify(dir, name, stolen);
    assert.throws(() => verify(name), (error) => /(permitted|excluded) subtree violation/.test(error.stderr), name);

    const server = https.createServer(forged, (request, response) => response.end('phished'));
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address();
    const { code, stdout } = await curl('--cacert', world.root, '--resolve', `${name}:${port}:127.0.0.1`, `https://${name}:${port}/`);
    server.close();
    assert.equal(code, 60, `${name}: ${stdout}`);
  }
  assert.ok(!readFileSync(world.root, 'utf8').includes('PRIVATE KEY'));
});

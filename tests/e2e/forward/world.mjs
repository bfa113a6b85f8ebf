// An internet of two hosts, both over TLS, behind an outbound proxy that knows their names; and a
// proxy that reaches it. No client of these tests resolves a name.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { join } from 'node:path';
import { binary, run, startProxy, startSandbox } from '../support.mjs';

export const API = 'api.example.test';
/** A host that no route names. */
export const OTHER = 'other.example.test';

export const openssl = (cwd, ...args) => execFileSync('openssl', args, { cwd, stdio: 'pipe' }).toString();

const listen = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));

/** A CA of the test's own: what stands for the public ones. */
function makePublicCa(dir) {
  mkdirSync(dir);
  openssl(dir, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', '/CN=public CA of the test', '-keyout', 'ca.key', '-out', 'ca.pem');
}

/** A server certificate: `{ key, cert }`, with the chain. */
export function certify(dir, name, { ca = 'ca.pem', key = 'ca.key' } = {}) {
  openssl(dir, 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/O=test',
    '-keyout', `${name}.key`, '-out', `${name}.csr`);
  writeFileSync(join(dir, `${name}.ext`), `subjectAltName=DNS:${name}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:false\n`);
  openssl(dir, 'x509', '-req', '-in', `${name}.csr`, '-CA', ca, '-CAkey', key, '-CAcreateserial', '-days', '2',
    '-extfile', `${name}.ext`, '-out', `${name}.pem`);
  const read = (file) => readFileSync(join(dir, file), 'utf8');
  return { key: read(`${name}.key`), cert: read(`${name}.pem`) + read(ca) };
}

/** Answers what came, but for the token itself: of that, whose it is. */
function answer(host, seen) {
  return (request, response) => {
    const body = [];
    request.on('data', (piece) => body.push(piece));
    request.on('end', () => {
      const authorization = request.headers.authorization ?? '';
      let token = null;
      if (authorization.startsWith('Bearer ey')) {
        const { iss, scope } = JSON.parse(Buffer.from(authorization.split('.')[1], 'base64url'));
        token = { iss, scope };
      }
      const said = {
        host,
        method: request.method,
        path: request.url,
        authorization: token ? 'a token' : authorization,
        token,
        body: Buffer.concat(body).toString(),
      };
      seen.push(said);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(said));
    });
  };
}

export async function startWorld() {
  const undo = [];
  const stop = async () => {
    while (undo.length > 0) await undo.pop()();
  };
  try {
    return await build(undo, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function build(undo, stop) {
  const sandbox = await startSandbox();
  undo.push(() => sandbox.stop());
  const serve = async (server) => {
    const sockets = new Set();
    server.on('connection', (socket) => sockets.add(socket.on('close', () => sockets.delete(socket))));
    undo.push(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return listen(server);
  };

  const pki = join(sandbox.dir, 'public');
  makePublicCa(pki);
  const seen = [];
  const places = {};
  for (const name of [API, OTHER]) {
    const settings = { ...certify(pki, name), allowHTTP1: true };
    places[`${name}:443`] = await serve(http2.createSecureServer(settings, answer(name, seen)));
  }
  places[`${OTHER}:80`] = await serve(http.createServer(answer(`plain ${OTHER}`, seen)));

  const outbound = http.createServer();
  outbound.on('connect', (request, client) => {
    const port = places[request.url];
    if (!port) return client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    const there = net.connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      there.pipe(client).pipe(there);
    });
    const end = () => {
      client.destroy();
      there.destroy();
    };
    client.on('error', end);
    there.on('error', end);
  });
  const way = await serve(outbound);

  const config = join(sandbox.dir, 'forward.toml');
  writeFileSync(config, `
[[routes]]
name = "api"
path = "/api"
upstream = "https://${API}/v1"
scopes = ["demo:api"]

[forward]
intercept = true

[upstream]
proxy = "http://127.0.0.1:${way}"
ca_file = "public/ca.pem"
`);
  const configs = ['--config', sandbox.config, '--config', config];
  const ca = async (...args) => {
    const { code, stdout, stderr } = await run(binary, ['ca', ...args, ...configs]);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  };
  await ca('init');
  const root = (await ca('path')).replace(/\n$/, '');

  const proxy = await startProxy(sandbox.config, { args: ['--config', config] });
  undo.push(() => proxy.stop());
  return {
    sandbox,
    proxy,
    port: new URL(proxy.url).port,
    seen,
    ca,
    root,
    publicCa: join(pki, 'ca.pem'),
    stop,
    /** A further proxy on the same world, with more configuration. */
    async another(text) {
      const more = join(sandbox.dir, 'more.toml');
      writeFileSync(more, text);
      return startProxy(sandbox.config, { args: ['--config', config, '--config', more] });
    },
  };
}

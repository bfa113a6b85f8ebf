// A Node program that knows of a proxy and of nothing else: `node client.mjs PORT PATH`.
// Trust comes from NODE_EXTRA_CA_CERTS.
import http from 'node:http';
import https from 'node:https';

const [port, host, path] = process.argv.slice(2);
const connect = http.request({ host: '127.0.0.1', port, method: 'CONNECT', path: `${host}:443`, headers: { host: `${host}:443` } });
connect.on('connect', (response, socket) => {
  if (response.statusCode !== 200) throw new Error(`CONNECT: ${response.statusCode}`);
  const agent = new https.Agent({ keepAlive: false });
  const request = https.request({ host, path, socket, agent, servername: host, method: 'POST' }, (answer) => {
    answer.pipe(process.stdout);
    answer.on('end', () => socket.end());
  });
  request.end('from Node');
});
connect.end();

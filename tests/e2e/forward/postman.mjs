// Postman's engine with what its settings make of a custom proxy configuration and of CA
// certificates: `postman.mjs PORT URL [ROOT]`. Prints the answer.
import { createRequire } from 'node:module';
import fs from 'node:fs';

// The engine that newman brings along.
const engine = createRequire(createRequire(import.meta.url).resolve('newman'));
const { Collection, ProxyConfigList } = engine('postman-collection');
const { Runner } = engine('postman-runtime');

const [port, url, root] = process.argv.slice(2);
const collection = new Collection({ item: [{ request: { method: 'GET', url } }] });
const proxies = new ProxyConfigList({}, [{ match: 'http+https://*:*/*', host: '127.0.0.1', port: Number(port) }]);
const options = { proxies, fileResolver: fs, requester: { strictSSL: true, extendedRootCA: root } };
new Runner().run(collection, options, (error, run) => {
  if (error) throw error;
  run.start({
    response(failure, cursor, response) {
      if (failure) throw failure;
      process.stdout.write(response.text());
    },
    done: () => process.exit(0),
  });
});

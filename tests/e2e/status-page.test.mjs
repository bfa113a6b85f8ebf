// The status page in a real browser, over the real binary. Screenshots go to tests/e2e/out/;
// with UPDATE_SCREENSHOTS=1 they replace those in docs/images/.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { appendFileSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { Process, here, run, startSandbox, until } from './support.mjs';

const WIDE = { width: 1280, height: 1000 };
const PHONE = { width: 390, height: 844 };

let sandbox;
let proxy;
let browser;

before(async () => {
  sandbox = await startSandbox();
  // Routes that are well come with the sandbox; these show what else there is.
  appendFileSync(
    sandbox.config,
    `
[[routes]]
name     = "weather"
path     = "/weather"
upstream = "${sandbox.url}/echo"
scopes   = ["demo:vaer.read"]

[[routes]]
name     = "supplier"
path     = "/supplier"
upstream = "${sandbox.url}/echo"
scopes   = ["demo:api"]
access   = "read-only"
consumer_org = { header = "X-Consumer-Org" }
`,
  );
  proxy = await startProxy();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/google-chrome'].find(existsSync),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
});
after(async () => {
  await browser?.close();
  await proxy?.process.stop();
  await sandbox?.stop();
});

/** The proxy with one route that never gets a token, so without a wait for all of them. */
async function startProxy(listen = '127.0.0.1:0', admin = '127.0.0.1:0') {
  const process = new Process(['serve', '--config', sandbox.config, '--log-format', 'json'], {
    env: { MASKINPORTEN_PROXY_LISTEN: listen, MASKINPORTEN_PROXY_ADMIN: admin },
  });
  const [, url] = await process.says(/"proxy":"(http:\/\/127\.0\.0\.1:\d+)"/);
  const [, status] = await process.says(/"admin":"(http:\/\/127\.0\.0\.1:\d+)"/);
  await until(async () => {
    const { tokens } = await (await fetch(`${status}/api/status`)).json();
    const is = (route, state) => tokens.find((token) => token.route === route).state === state;
    return is('echo', 'live') && is('clients', 'live') && is('scopes', 'live') && is('weather', 'refused');
  }, 'every token is live or refused');
  return { url, admin: status, process };
}

/** Opens the page; whatever the console, the page or the network complains of is kept. */
async function open(options = {}, admin = proxy.admin) {
  const context = await browser.newContext({ viewport: WIDE, locale: 'nb-NO', timezoneId: 'Europe/Oslo', ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.asked = new Set();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) page.complaints.push(message.text());
  });
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('request', (request) => page.asked.add(new URL(request.url()).origin));
  await page.goto(`${admin}/`);
  return page;
}

const live = (page) => page.locator('#live', { hasText: /^live$/ }).waitFor();
const card = (page, route) => page.locator(`#tokens [data-route="${route}"]`);
const row = (page, text) => page.locator('#log > li', { hasText: text });
const visible = (page) => page.locator('#log > li:visible');

async function screenshot(page, name, options = {}) {
  mkdirSync(join(here, 'out'), { recursive: true });
  const file = join(here, 'out', `${name}.png`);
  await page.screenshot({ path: file, animations: 'disabled', ...options });
  if (process.env.UPDATE_SCREENSHOTS) copyFileSync(file, join(here, '../../docs/images', `${name}.png`));
}

/** A request whose target goes out as it stands here. */
function send(path, { method = 'GET', headers = {}, body, port = new URL(proxy.url).port } = {}) {
  return new Promise((done, fail) => {
    const request = http.request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
      response.resume();
      response.on('end', () => done(response.statusCode));
    });
    request.on('error', fail);
    request.end(body);
  });
}

test('loads without a complaint, and asks nobody else for anything', async () => {
  const page = await open();
  await live(page);
  assert.equal(await page.title(), '(1) maskinporten-proxy');
  await page.getByRole('heading', { name: 'maskinporten-proxy', level: 1 }).waitFor();
  for (const name of ['Tokens', 'Requests', 'Routes']) await page.getByRole('heading', { name, level: 2 }).waitFor();
  assert.equal(await page.locator('#routes tr').count(), 5);
  assert.deepEqual([...page.asked], [proxy.admin]);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test('a request appears as it happens', async () => {
  const page = await open();
  await live(page);
  await page.evaluate(() => {
    // From here on, only the stream of events can bring news.
    window.fetch = () => Promise.reject(new Error('not now'));
  });
  assert.equal(await send('/echo/appears-live?a=1'), 200);
  const item = row(page, '/echo/appears-live?a=1');
  await item.waitFor();
  assert.equal(await item.locator('.status').textContent(), '200');
  assert.equal(await item.locator('.method').textContent(), 'GET');
  await item.locator('summary').click();
  await item.getByText('Request id').waitFor();
  const { 0: entry } = await (await fetch(`${proxy.admin}/api/requests`)).json();
  await item.getByText(entry.id).waitFor();
  await page.context().close();
});

test('each failure says whose it is', async () => {
  const page = await open();
  await live(page);
  for (const [path, headers, status, who] of [
    ['/nowhere/at-all', {}, 404, 'client'],
    ['/echo/rebound', { host: 'evil.example' }, 403, 'guard'],
    ['/weather/oslo', {}, 502, 'token'],
    ['/echo/status/503', {}, 503, 'upstream'],
  ]) {
    assert.equal(await send(path, { headers }), status);
    const item = row(page, path);
    await item.waitFor();
    assert.equal(await item.locator('.who').textContent(), `failed: ${who}`);
    assert.equal(await item.locator('.status').textContent(), String(status));
  }
  const item = row(page, '/weather/oslo');
  await item.locator('summary').click();
  assert.match(await item.locator('.why').textContent(), /scope/);
  await page.context().close();
});

test('the countdown moves', async () => {
  const page = await open();
  const timer = card(page, 'echo').getByRole('timer');
  const seconds = async () => {
    const [minutes, rest] = (await timer.textContent()).split(':').map(Number);
    return minutes * 60 + rest;
  };
  const first = await seconds();
  assert.ok(first > 0 && first <= 119, `${first}`);
  const bar = card(page, 'echo').locator('.life rect');
  const width = await bar.evaluate((rect) => rect.getBoundingClientRect().width);
  await until(async () => (await seconds()) <= first - 2, 'two seconds have passed on the page');
  assert.ok((await bar.evaluate((rect) => rect.getBoundingClientRect().width)) < width);
  await page.context().close();
});

test('a refused token shows its code, its cause and its mend', async () => {
  const page = await open();
  const weather = card(page, 'weather');
  await weather.getByText('Refused').waitFor();
  const { tokens } = await (await fetch(`${proxy.admin}/api/status`)).json();
  const { error } = tokens.find((token) => token.route === 'weather');
  assert.match(error.code, /^MP-2\d\d$/);
  await weather.getByText(error.code).waitFor();
  await weather.getByText(error.cause).waitFor();
  await weather.getByText(error.fix).waitFor();
  await page.getByText('1 token needs help').waitFor();
  await page.context().close();
});

test('the refresh button gets a new token, or tells why not', async () => {
  const page = await open();
  const jti = async () => {
    const { tokens } = await (await fetch(`${proxy.admin}/api/status`)).json();
    return tokens.find((token) => token.route === 'echo').claims.jti;
  };
  const before = await jti();
  await page.getByRole('button', { name: 'Refresh the token of echo' }).click();
  await page.locator('#say', { hasText: 'Refreshed the token of echo' }).waitFor({ state: 'attached' });
  const now = await jti();
  assert.notEqual(now, before);
  await card(page, 'echo').getByText('Claims').click();
  await card(page, 'echo').getByText(now).waitFor();

  await page.getByRole('button', { name: 'Refresh the token of weather' }).click();
  await page.locator('#say', { hasText: 'was not refreshed' }).waitFor({ state: 'attached' });
  // The browser itself notes the 502.
  assert.deepEqual(page.complaints.filter((text) => !text.includes('502')), []);
  await page.context().close();
});

test('what is filtered, paused and cleared', async () => {
  await send('/echo/apple');
  await send('/echo/status/500?quince');
  const page = await open();
  await live(page);
  await row(page, '/echo/apple').first().waitFor();
  const filter = page.getByLabel('Filter the requests by text');
  await filter.fill('QUINCE');
  assert.equal(await visible(page).count(), 1);
  await row(page, 'status/500?quince').waitFor();
  await filter.fill('no such thing');
  await page.getByText('No request matches the filter.').waitFor();
  await filter.fill('');
  await page.getByLabel('Filter the requests by outcome').selectOption('upstream');
  for (const item of await visible(page).all()) assert.match(await item.innerText(), /upstream/i);
  assert.ok((await visible(page).count()) >= 1);
  await page.getByLabel('Filter the requests by outcome').selectOption('');

  await page.getByRole('button', { name: 'Pause' }).click();
  await page.locator('#live', { hasText: 'paused' }).waitFor();
  await send('/echo/while-paused');
  await page.getByRole('button', { name: 'Resume (1)', exact: true }).waitFor();
  assert.equal(await row(page, '/echo/while-paused').count(), 0);
  await page.getByRole('button', { name: 'Resume (1)' }).click();
  await row(page, '/echo/while-paused').waitFor();
  await live(page);

  await page.getByRole('button', { name: 'Clear' }).click();
  assert.equal(await page.locator('#log > li').count(), 0);
  await send('/echo/after-clear');
  await row(page, '/echo/after-clear').waitFor();
  assert.equal(await page.locator('#log > li').count(), 1);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test('a copied curl command makes the same request again', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'mp-curl-'));
  writeFileSync(join(dir, 'body'), '{"of":"mine"}');
  const context = { permissions: ['clipboard-read', 'clipboard-write'] };
  const page = await open(context);
  await live(page);
  const absolute = `${sandbox.url}/echo/absolute?x=1`;
  const cases = [
    ["/echo/it's/$(id)/%2Fb;date?q=a+b&r=%20%26'&x=!$HOME#", {}],
    ['/echo/deleted/1', { method: 'DELETE' }],
    ['/echo/head', { method: 'HEAD' }],
    ['/echo/posted', { method: 'POST', body: '{"of":"mine"}' }],
    [absolute, {}],
  ].map(([path, options]) => [path.replace('#', ''), options]);
  for (const [path, options] of cases) {
    const host = path === absolute ? { headers: { host: new URL(absolute).host } } : {};
    await send(path, { ...options, ...host });
    const item = page.locator('#log > li').first();
    await until(async () => (await item.locator('.path').textContent()) === path, `${path} is listed first`);
    await item.locator('summary').click();
    await item.getByRole('button', { name: 'Copy as curl' }).click();
    await item.getByRole('button', { name: 'Copied' }).waitFor();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    assert.match(command, /^curl /);
    const result = await run('bash', ['-c', `${command} -sS --fail-with-body`], { cwd: dir });
    assert.equal(result.code, 0, `${command}\n${result.stderr}${result.stdout}`);
    await until(async () => {
      const entries = await (await fetch(`${proxy.admin}/api/requests`)).json();
      const same = (entry) => entry?.path === path && entry.method === (options.method ?? 'GET') && entry.status === 200;
      return same(entries[0]) && same(entries[1]) && entries[0].bytes_in === entries[1].bytes_in;
    }, `${command} made the same request again`);
    // The row that it made is listed, too; the next case looks at the one after.
    await until(async () => (await page.locator('#log > li').nth(1).locator('.path').textContent()) === path, 'both are listed');
  }
  assert.deepEqual(page.complaints, []);
  rmSync(dir, { recursive: true });
  await page.context().close();
});

test('what a request holds is text, never markup', async () => {
  const page = await open();
  await live(page);
  const hostile = "/echo/<img/src=x/onerror=alert(1)><script>alert(2)</script>'\"&amp;";
  const status = await send(encodeURI(hostile));
  assert.equal(status, 200);
  await send('/echo/x', { headers: { host: 'localhost', traceparent: '"><b>' } });
  await row(page, '%3Cscript%3E').waitFor();
  assert.equal(await page.locator('#log img, #log script').count(), 0);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test('a phone shows everything without sideways scrolling', async () => {
  await send(`/echo/${'a-long-path-without-any-end/'.repeat(8)}?${'query=parameter&'.repeat(6)}`);
  await send('/weather/oslo');
  for (const width of [PHONE.width, 320]) {
    const page = await open({ viewport: { ...PHONE, width }, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
    await live(page);
    for (const summary of [page.locator('#log > li').nth(0), page.locator('#log > li').nth(1), card(page, 'echo')])
      await summary.locator('summary').tap();
    await page.locator('#log .keys').first().waitFor();
    const wide = await page.evaluate(() => {
      const limit = document.documentElement.clientWidth;
      const name = (node) => `${node.tagName}.${node.getAttribute('class') ?? ''}`;
      const nodes = [...document.body.querySelectorAll('*:not(.vh):not(.skip)')].filter((node) => !node.closest('.vh,.skip,thead'));
      return [document.documentElement.scrollWidth > limit ? 'the page' : null, ...nodes.filter((node) => node.getBoundingClientRect().right > limit + 1).map(name)].filter(Boolean);
    });
    assert.deepEqual(wide, [], `${width} px`);
    const small = await page.evaluate(() =>
      [...document.querySelectorAll('button, summary, input, select')]
        .filter((node) => node.getClientRects().length && node.getBoundingClientRect().height < 24)
        .map((node) => node.textContent),
    );
    assert.deepEqual(small, [], 'every control can be hit by a finger');
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  }
});

test('both colour schemes can be read', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const page = await open({ colorScheme });
    await live(page);
    const found = await page.evaluate(() => {
      const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
      const luminance = ([r, g, b]) => {
        const linear = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
      };
      const behind = (node) => {
        for (let at = node; at; at = at.parentElement) {
          const colour = channels(getComputedStyle(at).backgroundColor);
          if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
      };
      const contrast = (node) => {
        const [high, low] = [luminance(channels(getComputedStyle(node).color)), luminance(behind(node))].sort((a, b) => b - a);
        return (high + 0.05) / (low + 0.05);
      };
      const texts = [...document.querySelectorAll('body *')].filter(
        (node) => node.getClientRects().length && !node.closest('.vh,.skip,script') && [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()),
      );
      return {
        background: luminance(behind(document.body)),
        texts: texts.length,
        faint: texts.filter((node) => contrast(node) < 4.5).map((node) => `${node.className}: ${node.textContent.slice(0, 40)} ${contrast(node).toFixed(2)}`),
      };
    });
    assert.ok(found.texts > 60, `only ${found.texts} texts looked at`);
    assert.equal(found.background > 0.5, colorScheme === 'light');
    assert.deepEqual(found.faint, [], colorScheme);
    await page.context().close();
  }
});

test('the keyboard reaches and works everything', async () => {
  const page = await open();
  await live(page);
  await send('/echo/by-keyboard');
  await row(page, '/echo/by-keyboard').waitFor();
  const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.id ?? document.activeElement.textContent);
  await page.keyboard.press('Tab');
  const skip = page.getByRole('link', { name: 'Skip to the requests' });
  assert.ok(await skip.evaluate((link) => link === document.activeElement && link.getBoundingClientRect().top >= 0), 'the link is seen');
  await page.keyboard.press('Enter');
  assert.equal(await focused(), 'requests');
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'filter');
  await page.keyboard.type('by-keyboard');
  assert.equal(await visible(page).count(), 1);
  for (const next of ['outcome', 'pause', 'clear']) {
    await page.keyboard.press('Tab');
    assert.equal(await focused(), next);
  }
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Space');
  assert.equal(await page.locator('#pause').getAttribute('aria-pressed'), 'true');
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#pause').getAttribute('aria-pressed'), 'false');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  const item = row(page, '/echo/by-keyboard');
  const ring = await item.locator('summary').evaluate((summary) => [summary === document.activeElement, getComputedStyle(summary).outlineStyle]);
  assert.deepEqual(ring, [true, 'solid']);
  await page.keyboard.press('Enter');
  await item.getByRole('button', { name: 'Copy as curl' }).waitFor();
  await page.keyboard.press('Tab');
  assert.ok(await item.getByRole('button').evaluate((button) => button === document.activeElement));

  // A refresh of the page's data must not take the focus away.
  const refresh = page.getByRole('button', { name: 'Refresh the token of echo' });
  await refresh.focus();
  await page.keyboard.press('Enter');
  await page.locator('#say', { hasText: 'Refreshed' }).waitFor({ state: 'attached' });
  assert.equal(await focused(), 'Refresh the token of echo');
  const nameless = await page.evaluate(() => [...document.querySelectorAll('button,a,input,select,summary')].filter((node) => !(node.getAttribute('aria-label') ?? node.textContent ?? '').trim() && !node.labels?.length).length);
  assert.equal(nameless, 0, 'everything that can be used has a name');
  await page.context().close();
});

test('without JavaScript it shows the same, and loads anew by itself', async () => {
  const page = await open({ javaScriptEnabled: false });
  const text = await page.locator('main').innerText();
  for (const part of ['clients', 'Live', 'weather', 'Refused', 'MP-2', 'On demand', 'idporten:dcr.read']) assert.ok(text.includes(part), part);
  assert.match(text, /\d:\d\d\s*left/);
  assert.equal(await page.locator('#pause').isVisible(), false, 'what needs a script is not shown');
  assert.ok(await page.getByText('loads anew every 10 seconds').isVisible());
  await send('/echo/without-a-script');
  const item = row(page, '/echo/without-a-script');
  await item.waitFor({ timeout: 20_000 });
  await item.locator('summary').click();
  await item.getByText('Request id').waitFor();
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test('the page finds back to a proxy that was started anew', async () => {
  const first = await startProxy();
  const page = await open({}, first.admin);
  await live(page);
  await first.process.stop();
  await page.locator('#live', { hasText: 'reconnecting' }).waitFor();
  const second = await startProxy(new URL(first.url).host, new URL(first.admin).host);
  await live(page);
  await send('/echo/after-the-restart', { port: new URL(second.url).port });
  await row(page, '/echo/after-the-restart').waitFor();
  await page.context().close();
  await second.process.stop();
});

test('screenshots for the documentation', async () => {
  const fresh = await startProxy();
  const { port } = new URL(fresh.url);
  for (const [path, options] of [
    ['/clients', {}],
    ['/clients/7a2e4f0c-5b1d-4c53-9f0e-2f1f0a9d3c11', {}],
    ['/clients', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"integration_type":"maskinporten"}' }],
    ['/scopes?inactive=true', {}],
    ['/echo/delay/120', {}],
    ['/weather/oslo', {}],
    ['/supplier/orders?code=1234', { headers: { 'x-consumer-org': '910753614' } }],
    ['/supplier/orders/17', { method: 'DELETE', headers: { 'x-consumer-org': '910753614' } }],
    ['/echo/status/503', {}],
    ['/echo/hello?from=Postman', { headers: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' } }],
  ])
    await send(path, { ...options, port });
  for (const colorScheme of ['light', 'dark']) {
    const page = await open({ colorScheme }, fresh.admin);
    await live(page);
    await row(page, '/weather/oslo').locator('summary').click();
    await page.mouse.move(0, 0);
    await page.evaluate(() => document.activeElement.blur());
    await screenshot(page, `status-page-${colorScheme}`, { fullPage: true });
    await page.context().close();
  }
  const phone = await open({ viewport: PHONE, deviceScaleFactor: 2, isMobile: true, hasTouch: true }, fresh.admin);
  await live(phone);
  await row(phone, '/supplier/orders?').locator('summary').tap();
  await row(phone, '/supplier/orders?').locator('.keys').waitFor();
  await phone.locator('#requests').evaluate((section) => section.scrollIntoView());
  await screenshot(phone, 'status-page-phone');
  await phone.context().close();
  await fresh.process.stop();
});

// What pages do with Microsoft's JavaScript client, on one transport and in one protocol. Each scenario is reported to the server of
// this page, which is another origin than the hubs'.
const parameters = new URLSearchParams(location.search);
const hubs = parameters.get("hubs");
const transport = parameters.get("transport");
const protocol = parameters.get("protocol");
const only = parameters.get("only") ?? "";

const report = line => fetch("/report", { method: "POST", body: line });
const sleep = ms => new Promise(done => setTimeout(done, ms));
const within = (ms, promise) =>
  Promise.race([promise, sleep(ms).then(() => { throw new Error(`nothing for ${ms} ms`); })]);
const same = (expected, actual) => {
  const [left, right] = [expected, actual].map(value => JSON.stringify(value) ?? "undefined");
  if (left !== right) throw new Error(`expected ${left.slice(0, 200)}, got ${right.slice(0, 200)}`);
};
const until = async condition => {
  const began = Date.now();
  while (!(await condition())) {
    if (Date.now() - began > 8000) throw new Error("it does not come to pass");
    await sleep(20);
  }
};
const administer = async path => {
  const response = await fetch(`${hubs}/admin/${path}`, { method: "POST" });
  if (!response.ok) throw new Error(`admin/${path}: ${response.status}`);
};

const { HttpTransportType, HubConnectionBuilder, LogLevel, Subject } = signalR;
const KINDS = {
  websockets: HttpTransportType.WebSockets,
  sse: HttpTransportType.ServerSentEvents,
  longpolling: HttpTransportType.LongPolling,
};

class Way {
  constructor(transport, protocol) {
    this.transport = transport;
    this.protocol = protocol;
    this.open = [];
  }

  // A started connection; `prepare` sees it before it starts.
  async connect(hub, { http = {}, build = () => {}, prepare = () => {} } = {}) {
    const builder = new HubConnectionBuilder()
      .withUrl(hubs + hub, { transport: KINDS[this.transport], ...http })
      .configureLogging(LogLevel.None);
    if (this.protocol === "messagepack") {
      builder.withHubProtocol(new signalR.protocols.msgpack.MessagePackHubProtocol());
    }
    build(builder);
    const connection = builder.build();
    prepare(connection);
    await connection.start();
    this.open.push(connection);
    return connection;
  }

  async close() {
    for (const connection of this.open.splice(0)) await connection.stop();
  }
}

const collected = stream => new Promise((done, fail) => {
  const items = [];
  stream.subscribe({ next: item => items.push(item), complete: () => done(items), error: fail });
});
const numbers = count => [...Array(count).keys()];

const SCENARIOS = {
  async "connects and calls"(way) {
    const hub = await way.connect("/hub");
    same(hub.connectionId, await hub.invoke("ConnectionId"));
    same(KINDS[way.transport], HttpTransportType[await hub.invoke("Transport")]);
    same(3, await hub.invoke("Add", 1, 2));
    for (const text of ["", "é漢😀", "\u001e\u0000\n\"\\", "x".repeat(20000)]) same(text, await hub.invoke("EchoText", text));
    const failure = await hub.invoke("FailWith", "my words").catch(error => error.message);
    same("An unexpected error occurred invoking 'FailWith' on the server. HubException: my words", failure);
  },
  async "keeps many calls apart"(way) {
    const hub = await way.connect("/parallel");
    const answers = await Promise.all(numbers(100).map(i => hub.invoke("Slow", i % 7, String(i))));
    same(numbers(100).map(String), answers);
  },
  async "sends and receives a megabyte"(way) {
    const hub = await way.connect("/large");
    const text = "m".repeat(1 << 20);
    same(text, await hub.invoke("EchoText", text));
  },
  async "receives a stream and cancels one"(way) {
    const hub = await way.connect("/hub");
    same(numbers(200), await collected(hub.stream("Count", 200, 0)));
    const before = await hub.invoke("Counter", "cancelled-stream");
    await new Promise((done, fail) => {
      const endless = hub.stream("Count", 1000000, 5).subscribe({
        next: item => { if (item === 3) { endless.dispose(); done(); } },
        complete() {},
        error: fail,
      });
    });
    await until(async () => await hub.invoke("Counter", "cancelled-stream") > before);
  },
  async "uploads streams"(way) {
    const hub = await way.connect("/hub");
    const items = new Subject();
    const sum = hub.invoke("Sum", items);
    for (const number of numbers(100)) items.next(number);
    items.complete();
    same(4950, await sum);
    const words = new Subject();
    const upper = collected(hub.stream("Upper", words));
    for (const word of ["one", "two"]) words.next(word);
    words.complete();
    same(["ONE", "TWO"], await upper);
  },
  async "is called in order"(way) {
    const got = [];
    const hub = await way.connect("/hub", { prepare: hub => hub.on("Number", number => got.push(number)) });
    await hub.invoke("Burst", "Number", 500);
    await until(() => got.length === 500);
    same(numbers(500), got);
  },
  async "answers a question"(way) {
    const hub = await way.connect("/parallel", { prepare: hub => hub.on("Answer", question => question + "!") });
    same("the client said why!", await hub.invoke("AskCaller", "why"));
  },
  async "brings its token"(way) {
    const refused = await way.connect("/auth").catch(error => error.message);
    if (!String(refused).includes("401")) throw new Error(`without a token: ${refused}`);
    const hub = await way.connect("/auth", { http: { accessTokenFactory: () => "alice" } });
    same("alice", await hub.invoke("UserName"));
  },
  async "comes back after its connection was lost"(way) {
    let lost = false;
    const hub = await way.connect("/nostateful", {
      build: builder => builder.withAutomaticReconnect([0, 100, 1000]),
      prepare: hub => hub.onreconnecting(() => { lost = true; }),
    });
    const first = hub.connectionId;
    const back = new Promise(done => hub.onreconnected(done));
    // Between polls there is nothing that could be cut.
    await administer(`${way.transport === "longpolling" ? "request-close" : "cut"}/${first}`);
    const second = await within(10000, back);
    if (!lost || first === second) throw new Error(`${first} came back as ${second}`);
    same(3, await hub.invoke("Add", 1, 2));
  },
  async "goes on with another WebSocket"(way) {
    if (way.transport !== "websockets") return;
    const got = [];
    let lost = 0;
    const hub = await way.connect("/hub", {
      build: builder => builder.withStatefulReconnect(),
      prepare: hub => { hub.on("Number", number => got.push(number)); hub.onclose(() => lost++); },
    });
    const id = hub.connectionId;
    const pending = hub.invoke("Slow", 500, "survived");
    await administer(`cut/${id}`);
    await administer(`send/${id}/Number/100`);
    await until(() => got.length >= 100);
    same([numbers(100), "survived", id, 0], [got, await within(8000, pending), hub.connectionId, lost]);
  },
  async "is told that the server ends it"(way) {
    const hub = await way.connect("/hub");
    const closed = new Promise(done => hub.onclose(() => done("closed")));
    await administer(`abort/${hub.connectionId}`);
    same("closed", await within(8000, closed));
  },
  async "leaves"(way) {
    const watch = await way.connect("/hub");
    const before = await watch.invoke("Counter", "disconnected");
    const hub = await way.connect("/hub");
    await hub.stop();
    same("Disconnected", hub.state);
    await until(async () => await watch.invoke("Counter", "disconnected") > before);
  },
};

async function run() {
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    if (!name.includes(only)) continue;
    const way = new Way(transport, protocol);
    const outcome = await within(40000, scenario(way)).then(() => "ok", error => `FAIL ${error.message}`);
    await way.close().catch(() => {});
    await report(`${transport}/${protocol} ${name}: ${outcome}`);
  }
}

// The official suite of the client, if the server of this page has it: the same scenarios as in node.
async function runSuite() {
  const suite = await import("/suite.js");
  const lines = [];
  await suite.runSuite(signalR, signalR.protocols.msgpack, hubs, { transport, protocol, only }, line => lines.push(line));
  for (const line of lines) await report(line);
}

await (parameters.has("suite") ? runSuite() : run())
  .catch(error => report(`FAIL the page itself: ${error.stack}`));
await report("done");

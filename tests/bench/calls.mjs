// Measures the official JavaScript client against plain_hub: calls.mjs ws://HOST:PORT [IN_FLIGHT] [SECONDS]. Prints one line of JSON.
import { HttpTransportType, HubConnectionBuilder, LogLevel } from "@microsoft/signalr";

const [url, inFlight = "64", seconds = "2"] = process.argv.slice(2);
const connection = new HubConnectionBuilder()
  .withUrl(`${url.replace(/^ws/, "http")}/hub`, { skipNegotiation: true, transport: HttpTransportType.WebSockets })
  .configureLogging(LogLevel.None)
  .build();
await connection.start();
const text = "b".repeat(100);

async function calls(limit) {
  const start = performance.now();
  const one = async () => {
    let count = 0;
    while (performance.now() - start < limit) {
      const answer = await connection.invoke("EchoText", text);
      if (answer.length !== text.length) throw new Error("a wrong answer");
      count += 1;
    }
    return count;
  };
  const counts = await Promise.all(Array.from({ length: Number(inFlight) }, one));
  return counts.reduce((a, b) => a + b) / ((performance.now() - start) / 1000);
}

await calls((Number(seconds) * 1000) / 3);
const rate = await calls(Number(seconds) * 1000);
console.log(JSON.stringify({ client: "javascript", protocol: "json", inflight: Number(inFlight), invocations_per_second: Math.round(rate), microseconds_each: 1e6 / rate }));
await connection.stop();
process.exit(0);

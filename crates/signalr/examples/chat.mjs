// The example `client` in JavaScript: `npm install @microsoft/signalr`, then `node chat.mjs http://127.0.0.1:5000/chat me`
//
// Expects the hub of the example `chat`.

import { createInterface } from "node:readline";
import { HubConnectionBuilder, LogLevel } from "@microsoft/signalr";

const [url = "http://127.0.0.1:5000/chat", me = "me"] = process.argv.slice(2);
const connection = new HubConnectionBuilder()
    .withUrl(url)
    .withAutomaticReconnect()
    .configureLogging(LogLevel.Warning)
    .build();
connection.on("Receive", (user, text) => {
    console.log(`${user}: ${text}`);
});
connection.onreconnecting(error => {
    console.log(`(${error}; reconnecting)`);
});
await connection.start();

for await (const line of createInterface({ input: process.stdin })) {
    await connection.invoke("Send", me, line);
}
await connection.stop();

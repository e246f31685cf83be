// The example `dashboard` in JavaScript: `npm install @microsoft/signalr`, then `node dashboard.mjs http://127.0.0.1:5000/dashboard`
//
// Expects the hub of the example `dashboard_hub`.

import { HubConnectionBuilder, LogLevel, Subject } from "@microsoft/signalr";

const [url = "http://127.0.0.1:5000/dashboard"] = process.argv.slice(2);
const connection = new HubConnectionBuilder()
    .withUrl(url)
    .withAutomaticReconnect()
    .configureLogging(LogLevel.Warning)
    .build();
const board = new Map();
connection.on("Reading", (room, reading) => {
    board.set(room, reading);
});
await connection.start();

for (const [room, measured] of [["kitchen", [19.5, 21.5]], ["cellar", [8, 9]]]) {
    const readings = new Subject();
    const summary = connection.invoke("Report", room, readings);
    for (const celsius of measured) {
        readings.next({ celsius, relativeHumidity: 0.4 });
    }
    readings.complete();
    const told = await summary;
    console.log(`${room}: ${told.readings} readings, ${told.averageCelsius} °C on average`);
}
await connection.stop();
for (const room of [...board.keys()].sort()) {
    const last = board.get(room);
    console.log(`${room}: ${last.celsius} °C, ${last.relativeHumidity * 100} %`);
}

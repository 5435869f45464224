// A Webda application, for check.py: actions are launched, stopped and shown over
// standard input and output, one JSON object a line. Webda itself is the published
// packages in the folder that the first argument names; nothing of it is replaced.
//
//     > {"launch": "RustWork", "fields": {"arguments": {...}, "logs": []}}
//     < {"launched": "<uuid>"}
//     > {"stop": "<uuid>"}
//     < {"changed": {...}}       an action as it is stored, after every write
//     < {"ended": "<uuid>", "code": 0}
//     < {"error": "..."}         what Webda logs as an error
//
// The second argument maps action types to {command, args, options} of a LocalRunner. The third,
// if it is not empty, is a definitions file: its operations are launched over HTTP, by the runner of
// the type AsyncOperationAction. The fourth is a folder: the actions then have files, kept there.
import { createRequire } from "node:module";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, types] = [process.argv[2], JSON.parse(process.argv[3])];
const [definitions, files] = process.argv.slice(4);
const OPERATION = "AsyncOperationAction";
const packages = createRequire(join(folder, "package.json"));
const load = name => import(pathToFileURL(packages.resolve(name)));
const tell = object => process.stdout.write(JSON.stringify(object) + "\n");

const { UnpackedApplication } = await load("@webda/core");
const { AsyncAction } = await load("@webda/async");
const { WebdaServer } = await load("@webda/shell");
const { WorkerOutput } = await load("@webda/workout");

const configuration = {
  version: 3,
  parameters: { ignoreBeans: true, sessionSecret: "s".repeat(256) },
  services: {
    AsyncActions: { type: "Webda/MemoryStore", model: "Webda/AsyncAction" },
    // A queue would freeze the process: MemoryQueue polls without a pause when it is empty.
    Async: { type: "Webda/AsyncJobService", url: "/async", localLaunch: true, runners: Object.keys(types) }
  }
};
if (definitions) {
  // Otherwise the hook of an operation is `store`: jobs of this process.
  Object.assign(configuration.services.Async, { asyncOperationDefinition: definitions, onlyHttpHook: true });
}
if (files) {
  const map = { AsyncActions: ["inputs", "outputs"] };
  configuration.services.Files = { type: "Webda/FileBinary", folder: files, expose: { url: "/files" }, map };
  configuration.services.Async.binaryStore = "Files";
}
for (const [name, program] of Object.entries(types)) {
  // What the program says besides its reports goes to our standard error.
  const options = { ...program.options, stdio: ["ignore", process.stderr.fd, process.stderr.fd] };
  configuration.services[name] = { type: "Webda/LocalRunner", actions: [name], ...program, options };
}

class Application extends UnpackedApplication {
  loadConfiguration() {
    this.baseConfiguration = this.completeConfiguration(configuration);
  }
  // Only what is used; the shell's deployers take seconds to load.
  filterModule(path) {
    return /@webda.(core|async).webda\.module\.json$/.test(path);
  }
}

// Errors only: at INFO, LocalRunner writes the jobs' keys to the log.
const output = new WorkerOutput();
output.on("message", ({ type, log }) => {
  if (type === "log" && log.level === "ERROR") {
    tell({ error: log.args.map(part => part?.message ?? String(part)).join(" ") });
  }
});
const application = new Application(folder, output);
await application.load();
const models = {};
// That of operations is Webda's own.
for (const name of Object.keys(types).filter(it => it !== OPERATION)) {
  models[name] = { [name]: class extends AsyncAction {} }[name];
  if (files) {
    // By default an action refuses its own job.
    models[name].prototype.canAct = async function () { return this; };
  }
  application.addModel(`Interop/${name}`, models[name]);
}

const webda = new WebdaServer(application);
// Without it 2.4.3 answers 401 to requests that come from no web page.
webda.setDevMode(true);
await webda.init();
if (definitions) {
  // What an application's own authentication amounts to; the hook stays Webda's to guard.
  webda.registerRequestFilter({
    checkRequest: async context => !context.getHttpContext().getUrl().includes("/async/status")
  });
}
if (files) {
  // The same for the addresses of the bytes, which have tokens of their own.
  webda.registerRequestFilter({
    checkRequest: async context => !context.getHttpContext().getUrl().includes("/async/")
  });
}
const store = webda.getService("AsyncActions");
for (const event of ["Store.Saved", "Store.PartialUpdated", "Store.PatchUpdated", "Store.Updated"]) {
  store.on(event, async change => {
    const uuid = change.object_id ?? change.object?.uuid;
    const action = uuid && (await store.get(uuid));
    action && tell({ changed: { ...action, __secretKey: undefined } });
  });
}
// LocalRunner without autoStatus does not look after its children.
for (const name of Object.keys(types)) {
  const runner = webda.getService(name);
  const spawn = runner.spawn.bind(runner);
  runner.spawn = (command, args, options) => {
    const child = spawn(command, args, options);
    child.on("exit", code => tell({ ended: options.env.JOB_ID, code }));
    child.on("error", error => tell({ failed: `${command}: ${error.message}` }));
    return child;
  };
}

await webda.serve(0, false, "127.0.0.1");
webda.http.listening || (await once(webda.http, "listening"));
const address = `http://127.0.0.1:${webda.http.address().port}`;
webda.getGlobalParams().apiUrl = address;
tell({ listening: address });

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.launch) {
    const action = Object.assign(new models[request.launch](), request.fields);
    await webda.getService("Async").launchAction(action);
    tell({ launched: action.uuid });
  } else if (request.stop) {
    await store.patch({ uuid: request.stop, action: "STOP" }, null);
  }
}
process.exit(0);

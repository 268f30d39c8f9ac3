// The TypeScript client v2 (@modelcontextprotocol/client):
//   node client_v2.mjs '{"mode": "legacy"|"auto", "url"| "command","args","env"; "orders"}'

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { ELICITED, SAMPLED, walk } from './walk.mjs';

const target = JSON.parse(process.argv[2]);
const logs = [];
const client = new Client(
    { name: 'typescript-v2', version: '1' },
    { capabilities: { elicitation: {}, sampling: {} }, versionNegotiation: { mode: target.mode } }
);
client.setRequestHandler('elicitation/create', async () => ELICITED);
client.setRequestHandler('sampling/createMessage', async () => SAMPLED);
client.setNotificationHandler('notifications/message', note => {
    logs.push(note.params.data);
});

const transport = target.url
    ? new StreamableHTTPClientTransport(new URL(target.url))
    : new StdioClientTransport({ command: target.command, args: target.args, env: target.env });
await client.connect(transport);
const protocol = client.getNegotiatedProtocolVersion();
const modern = protocol === '2026-07-28';
if (!modern) await client.setLoggingLevel('info');
// In the 2026 era each request says which log messages it wants.
const wanting = params => (modern ? { ...params, _meta: { 'io.modelcontextprotocol/logLevel': 'info' } } : params);
const shared = {
    listTools: () => client.listTools(undefined, { cacheMode: 'bypass' }),
    callTool: (params, options) => client.callTool(wanting(params), options),
    readResource: params => client.readResource(params),
    getPrompt: params => client.getPrompt(params),
    complete: params => client.complete(params)
};
await walk(shared, protocol, logs, target.orders);
await client.close();

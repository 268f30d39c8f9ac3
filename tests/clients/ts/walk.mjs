// One walk through a gateway for both TypeScript SDKs; each script hands in its own client. Prints one JSON line.

export const ELICITED = { action: 'accept', content: { username: 'testuser', email: 'test@example.com' } };
export const SAMPLED = {
    role: 'assistant',
    content: { type: 'text', text: 'sampled by the client' },
    model: 'none'
};

const pause = ms => new Promise(done => setTimeout(done, ms));

/** Tool names once all of `wanted` are there: a gateway started over stdio may still be connecting. */
async function listed(listTools, wanted) {
    const end = Date.now() + 30_000;
    for (;;) {
        const names = (await listTools()).tools.map(tool => tool.name);
        if (wanted.every(name => names.includes(name)) || Date.now() > end) return names;
        await pause(50);
    }
}

/**
 * @param client what both SDKs share: listTools, callTool(params, options), readResource, getPrompt, complete
 * @param protocol negotiated protocol version
 * @param logs array that the script's log handler appends to
 * @param orders { name, arguments } of a tool with structured content
 */
export async function walk(client, protocol, logs, orders) {
    const tools = await listed(() => client.listTools(), ['test_simple_text', orders.name]);
    const progress = [];
    const text = await client.callTool({ name: 'test_simple_text', arguments: {} });
    await client.callTool(
        { name: 'test_tool_with_progress', arguments: {} },
        { onprogress: update => progress.push(update.progress) }
    );
    await client.callTool({ name: 'test_tool_with_logging', arguments: {} });
    const elicited = await client.callTool({ name: 'test_elicitation', arguments: { message: 'Who are you?' } });
    const sampled = await client.callTool({ name: 'test_sampling', arguments: { prompt: 'Say something' } });
    const resource = await client.readResource({ uri: 'test://static-text' });
    const template = await client.readResource({ uri: 'test://template/123/data' });
    const prompt = await client.getPrompt({
        name: 'test_prompt_with_arguments',
        arguments: { arg1: 'hello', arg2: 'world' }
    });
    const completion = await client.complete({
        ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' },
        argument: { name: 'arg1', value: 'par' }
    });
    const structured = await client.callTool(orders);
    const failed = await client.callTool({ name: 'test_error_handling', arguments: {} });
    let unknown = 0;
    try {
        await client.callTool({ name: 'no_such_tool', arguments: {} });
    } catch (error) {
        unknown = error.code;
    }
    const seen = {
        protocol,
        tools,
        text: text.content[0].text,
        progress,
        logs,
        elicited: elicited.content[0].text,
        sampled: sampled.content[0].text,
        resource: resource.contents[0].text,
        template: template.contents[0].text,
        prompt: prompt.messages[0].content.text,
        completion: completion.completion.values,
        structured: structured.structuredContent,
        tool_error: failed.isError === true,
        unknown
    };
    console.log(JSON.stringify(seen));
}

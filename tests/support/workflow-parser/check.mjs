// Usage: node check.cjs FILE...
// Parses each file with the parser that GitHub publishes: `action.yml` as an action, everything else as a workflow. Prints
// every error as FILE:LINE:COLUMN: MESSAGE; exit code 1 if there is one.

import {readFileSync} from "node:fs";
import {basename} from "node:path";
import {convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow} from "@actions/workflow-parser";
import {convertActionTemplate, parseAction} from "@actions/workflow-parser/actions/index";
import {ErrorPolicy} from "@actions/workflow-parser/model/convert";

async function errorsOf(name) {
  const file = {name, content: readFileSync(name, "utf8")};
  const trace = new NoOperationTraceWriter();
  const isAction = ["action.yml", "action.yaml"].includes(basename(name));
  const {context, value} = isAction ? parseAction(file, trace) : parseWorkflow(file, trace);
  if (value !== undefined) {
    const options = {errorPolicy: ErrorPolicy.TryConversion};
    await (isAction
      ? convertActionTemplate(context, value, options)
      : convertWorkflowTemplate(context, value, undefined, options));
  }
  return context.errors.getErrors().map(({range, rawMessage}) => {
    const place = range ? `:${range.start.line}:${range.start.column}` : "";
    return `${name}${place}: ${rawMessage}`;
  });
}

async function main(names) {
  if (names.length === 0) {
    console.error("usage: node check.cjs FILE...");
    return 2;
  }
  const errors = (await Promise.all(names.map(errorsOf))).flat();
  errors.forEach((error) => console.error(error));
  console.log(`GitHub's workflow parser: ${names.length} files, ${errors.length} errors`);
  return errors.length > 0 ? 1 : 0;
}

main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});

// The page: the report's data, which lies in it as JSON, and access to its elements.

export const report = JSON.parse(document.getElementById("report").textContent);
export const N = report.n;
// The prompt's tokens; those of the answer follow them. The map is of the prompt alone.
export const PROMPT = report.prompt;

export const $ = (id) => document.getElementById(id);

export const makeElement = (name, text = "", properties = {}) => Object.assign(document.createElement(name), { textContent: text, ...properties });

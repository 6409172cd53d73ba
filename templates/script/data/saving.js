// Files that the page gives to the browser to save. A browser that refuses one says so itself.

export function saveFile(name, content) {
  const link = document.createElement("a"), address = URL.createObjectURL(content);
  link.href = address;
  link.download = `attentropy-${name}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

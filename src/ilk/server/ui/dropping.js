// Pictures come by dropping, choosing or pasting: as files, never as addresses.

function addFiles(files) {
  const pictures = [...files];
  if (pictures.length > MOST_CARDS) alertAbout(`${pictures.length} pictures are too many at once.`, `The first ${MOST_CARDS} are looked at; \`ilk identify\` takes whole folders.`);
  pictures.slice(0, MOST_CARDS).reverse().forEach((file) => addPicture(file, file.name || "pasted picture"));
}

function dropped(event) {
  event.preventDefault();
  document.body.classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
  if (entries.some((entry) => entry && entry.isDirectory)) {
    alertAbout("A folder was dropped.", "Open it and drop the pictures in it, or use `ilk enroll` and `ilk identify`.");
    return;
  }
  if (!event.dataTransfer.files.length) {
    alertAbout("No file was dropped.", "Save the picture first; this page opens no addresses.");
    return;
  }
  addFiles(event.dataTransfer.files);
}

addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); });
addEventListener("drop", dropped);
addEventListener("paste", (event) => { if (event.clipboardData.files.length) addFiles(event.clipboardData.files); });
byId("choose").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", () => { addFiles(byId("files").files); byId("files").value = ""; });
loadGallery();

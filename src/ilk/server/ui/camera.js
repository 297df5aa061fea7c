// The camera: a frame a second is asked about, or the one that is taken.

const video = byId("video"), live = byId("live-boxes");
const PERIOD_MS = 1000;
let stream = null, timer = 0, isAsking = false, lastTold = "";

const CAMERA_TROUBLE = {
  NotAllowedError: ["The camera may not be used.", "Allow it for this page in the browser's settings."],
  NotFoundError: ["There is no camera.", "Connect one, or choose pictures."],
  NotReadableError: ["The camera is in use.", "Close the other program that uses it."],
};

async function startCamera() {
  if (!navigator.mediaDevices) {
    alertAbout("This browser gives no camera to this page.", "Open it at http://127.0.0.1 or http://localhost.");
    return;
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" } });
  } catch (error) {
    alertAbout(...(CAMERA_TROUBLE[error.name] || [`The camera cannot be used: ${error.message}`, "Choose pictures instead."]));
    return;
  }
  stream.getTracks().forEach((track) => track.addEventListener("ended", stopCamera));
  video.srcObject = stream;
  await video.play();
  byId("camera").hidden = false;
  byId("start-camera").disabled = true;
  byId("take").focus();
  tick();
}

function stopCamera() {
  clearTimeout(timer);
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = video.srcObject = null;
  lastTold = "";
  live.replaceChildren();
  byId("live").textContent = "";
  byId("camera").hidden = true;
  byId("start-camera").disabled = false;
  byId("start-camera").focus();
}

function frame() {
  const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", 0.92); });
}

// Ask, then wait for what is left of the second; never two questions at once.
async function tick() {
  clearTimeout(timer);
  if (!stream || isAsking) return;
  const start = performance.now();
  if (byId("each-second").checked && !document.hidden && video.videoWidth) {
    isAsking = true;
    try {
      showLive(await ask("identify", { name: "camera" }, await frame()));
    } catch (error) {
      alertAbout(error.message, error.todo);
      byId("each-second").checked = false;
    }
    isAsking = false;
  }
  if (stream) timer = setTimeout(tick, Math.max(50, PERIOD_MS - (performance.now() - start)));
}

function showLive(told) {
  if (!stream) return;
  drawBoxes(live, told, null);
  const text = told.answers.map((answer) => (answer.code === "no_face" ? "nobody to be seen" : said(answer))).join(", ");
  if (text !== lastTold) byId("live").textContent = lastTold = text;
}

async function takePicture() {
  const taken = await frame();
  if (!taken) return;
  addPicture(taken, `camera ${new Date().toLocaleTimeString("en-GB")}.jpg`);
}

byId("start-camera").addEventListener("click", startCamera);
byId("stop-camera").addEventListener("click", stopCamera);
byId("take").addEventListener("click", takePicture);
byId("each-second").addEventListener("change", () => { if (!byId("each-second").checked) live.replaceChildren(); });

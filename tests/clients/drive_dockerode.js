// The driver of dockerode (see clients/calls.py): evaluates expressions that share `scope`, each awaited.
const { PassThrough, Writable } = require('stream');
const Docker = require('dockerode');

const docker = new Docker({ socketPath: process.env.DOCKER_HOST.replace('unix://', ''), version: 'v' + (process.env.DOCKER_API_VERSION || '1.47') });

// All that a stream gives, as text.
const read = (stream) => new Promise((resolve, reject) => {
  const chunks = [];
  stream.on('data', (chunk) => chunks.push(chunk));
  stream.on('end', () => resolve(Buffer.concat(chunks.map((c) => Buffer.from(c))).toString()));
  stream.on('error', reject);
});

// A multiplexed stream apart: [standard output, standard error].
const demux = async (stream) => {
  const out = new PassThrough();
  const err = new PassThrough();
  docker.modem.demuxStream(stream, out, err);
  stream.on('end', () => { out.end(); err.end(); });
  return Promise.all([read(out), read(err)]);
};

// What a container prints.
const sink = () => {
  const whole = [];
  const stream = new Writable({ write(chunk, _, done) { whole.push(chunk); done(); } });
  stream.text = () => Buffer.concat(whole).toString();
  return stream;
};

// The first line of a stream of JSON, and the end of it.
const first = (stream) => new Promise((resolve) => stream.once('data', (line) => { resolve(JSON.parse(line)); stream.destroy(); }));
const progress = (stream) => new Promise((resolve, reject) => docker.modem.followProgress(stream, (error, lines) => (error ? reject(error) : resolve(lines))));
const later = (action) => setTimeout(action, 300);

const main = async () => {
  const codes = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const scope = { docker, read, demux, sink, first, progress, later };
  const outcomes = [];
  for (const code of codes) {
    try {
      const value = await new Function('scope', `with (scope) { return (async () => (${code}))(); }`)(scope);
      outcomes.push({ gave: value === undefined ? null : value });
    } catch (error) {
      outcomes.push({ raised: String(error.statusCode || error.name), said: String(error.message).slice(0, 500) });
    }
  }
  process.stdout.write(JSON.stringify(outcomes), () => process.exit(0));
};

main();

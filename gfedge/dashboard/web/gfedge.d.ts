/** Types of gfedge.js. Below the line they are made from the OpenAPI document by tools/client_types.py. */

type Params<K extends keyof Routes> = Routes[K] extends { params: infer P } ? P : never;
type Body<K extends keyof Routes> = Routes[K] extends { body: infer B } ? B : never;
type Reply<K extends keyof Routes> = Routes[K] extends { reply: infer R } ? R : never;
type At<Method extends string> = keyof Routes extends infer K ? (K extends `${Method} ${infer Path}` ? Path : never) : never;
type Route<Method extends string, Path extends string> = `${Method} ${Path}` & keyof Routes;

export interface Options {
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export declare class Problem extends Error {
  /** 0 where no server answered. */
  status: number;
  /** Stable; texts may change. */
  code: string;
  detail: string;
  /** The JSON path or the parameter that was refused. */
  field: string;
  /** Seconds; 0 where the server named none. */
  retryAfter: number;
  /** Everything that the server said; some problems have more than these members, as `gates` of a promotion. */
  said: Record<string, any>;
}

export declare class Client {
  constructor(options?: { server?: string; token?: string; onProblem?: (problem: Problem) => void });
  server: string;
  token: string;
  get<P extends At<"GET">>(path: P, params?: Params<Route<"GET", P>>, options?: Options): Promise<Reply<Route<"GET", P>>>;
  post<P extends At<"POST">>(path: P, params?: Params<Route<"POST", P>>, body?: Body<Route<"POST", P>> | Blob, options?: Options): Promise<Reply<Route<"POST", P>>>;
  put<P extends At<"PUT">>(path: P, params?: Params<Route<"PUT", P>>, body?: Body<Route<"PUT", P>> | Blob, options?: Options): Promise<Reply<Route<"PUT", P>>>;
  patch<P extends At<"PATCH">>(path: P, params?: Params<Route<"PATCH", P>>, body?: Body<Route<"PATCH", P>>, options?: Options): Promise<Reply<Route<"PATCH", P>>>;
  delete<P extends At<"DELETE">>(path: P, params?: Params<Route<"DELETE", P>>, options?: Options): Promise<Reply<Route<"DELETE", P>>>;
  call(method: string, path: string, params?: object, body?: unknown, options?: Options): Promise<unknown>;
  fetch(method: string, path: string, params?: object, body?: unknown, options?: Options): Promise<Response>;
  url(path: string, params?: object): string;
  pages(path: At<"GET">, params?: object, what?: string): AsyncGenerator<any>;
  upscale(picture: Blob | string, params?: Partial<SuperresParams>, options?: Options): Promise<Job>;
  picture(sha256: string): Promise<string>;
  session(): Promise<Session>;
  login(body: { token?: string; setup?: string }): Promise<Session>;
  logout(): Promise<Session>;
  stream<N extends keyof Streams>(
    name: N,
    wanted: Subscription,
    hear: (message: Message<Streams[N]>) => void,
    tell?: (state: State) => void,
  ): Stream;
}

export type State = "connecting" | "live" | "lost" | "refused";

/** A message of a stream by its type; `resumed`, `gap` and `error` come in every stream. */
export type Message<T> = {
  [K in keyof T]: { type: K; seq: number; at: number; data: T[K] };
}[keyof T];

export declare class Stream {
  change(wanted: Subscription): void;
  close(): void;
}

export declare function connect(options?: ConstructorParameters<typeof Client>[0]): Client;

// ---- made by tools/client_types.py ----

/** Somebody looks after an alert: it is not repeated any more. */
export interface Acknowledgement {
  comment?: string;
}
/** Alerts that are pending or firing, those that fire first. */
export interface ActiveAlerts {
  alerts: Array<Alert>;
}
/** Which of the active alerts. */
export interface ActiveQuery {
  /** active is both of them. */
  state?: "active" | "firing" | "pending";
  /** Of the rule. */
  name?: string;
  severity?: string;
  /** A selector of labels. */
  match?: string;
}
/** An alert: a rule that found something. */
export interface Alert {
  id: string;
  /** Of the rule. */
  name: string;
  group: string;
  /** The label of this name; empty without one. */
  severity: string;
  /** pending until the rule's `for` is over, firing, resolved. */
  state: "firing" | "pending" | "resolved";
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** What the rule's expression gave last. */
  value: number | "+Inf" | "-Inf" | "NaN";
  /** When the rule began to find it. */
  active_at: number;
  fired_at: number | null;
  resolved_at: number | null;
  acknowledged_at: number | null;
  acknowledged_by: string;
  /** Of who acknowledged it. */
  comment: string;
  /** Ids of the silences that hold it now. */
  silenced_by: Array<string>;
}
/** Alerts that fired, newest first. */
export interface AlertPage {
  next?: string | null;
  alerts: Array<Alert>;
}
/** No messages about one alert for a while. */
export interface AlertSilence {
  duration_seconds?: number;
  comment?: string;
}
/** Alerts now. */
export interface AlertSummary {
  firing?: number;
  pending?: number;
  /** At most 200: those that fire first, then by how long. */
  active?: Array<any>;
}
/** What there is now. */
export interface AlertsSnapshot {
  alerts: Array<Alert>;
  silences: Array<ListedSilence>;
}
export interface Alias {
  alias: string;
  version: string;
}
export interface AliasNamed {
  name: string;
  alias: string;
}
export interface AliasSet {
  name: string;
  alias: string;
  version: string;
}
/** The process answers. */
export interface Alive {
  status: "ok";
}
/** All settings, in the order of the documentation. */
export interface AllSettings {
  settings: Array<Setting>;
}
/** What every call answers. `data` is there where the status is success, the error texts where it is not. */
export interface Answer {
  status: "error" | "success";
  data?: any;
  errorType?: string;
  error?: string;
  warnings?: Array<string>;
  infos?: Array<string>;
}
/** What a client may send along and this call does not need. */
export interface Anything {
  /** How many at most; 0 for all. */
  limit?: string;
  state?: string;
}
/** The archive of this server. */
export interface Archive {
  /** On the server's machine. */
  folder: string;
  /** 0: only when asked. */
  every_hours: number;
  /** 0: for ever. */
  keep_days: number;
  /** When the last export was complete. */
  made_at: number | null;
  next_at: number | null;
  /** The one that runs, or the last. */
  export: Export | null;
  tables: Record<string, TableEntry>;
}
/** A file or a folder in a listing; a folder's size and number of files are those of all below it. */
export interface ArtifactEntry {
  path: string;
  name: string;
  is_folder: boolean;
  bytes: number;
  files: number;
  created_at: number;
  sha256: string | null;
  media_type: string | null;
}
export interface ArtifactQuery {
  /** A folder; empty for the run. */
  path?: string;
  /** Rows on a page. */
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
}
/** A file of a run. */
export interface ArtifactRow {
  run_id: string;
  path: string;
  sha256: string;
  media_type: string;
  bytes: number;
  created_at: number;
}
/** What is in a folder of a run, by name. */
export interface Artifacts {
  next?: string | null;
  run_id: string;
  path: string;
  artifacts: Array<ArtifactEntry>;
}
/** How many files have lost their name. */
export interface ArtifactsGone {
  files: number;
}
/** TexturePacker's JSON-hash. */
export interface Atlas {
  frames: Record<string, Record<string, any>>;
  meta: Record<string, any>;
}
/** Whose format. */
export interface AtlasQuery {
  /** json: TexturePacker's JSON-hash; godot: SpriteFrames; unity: the sheet's .meta. */
  format?: "godot" | "json" | "unity";
}
/** Audit records, newest first. */
export interface AuditPage {
  next?: string | null;
  records: Array<AuditRow>;
}
/** Which audit records a listing shows. */
export interface AuditQuery {
  limit?: number;
  cursor?: string;
}
/** What an admin did, chained to what was done before. */
export interface AuditRow {
  number: number;
  made_at: number;
  name: string;
  token_id: string;
  address: string;
  action: string;
  target: string;
  detail: string;
  previous: string;
  sha256: string;
}
/** A backup that is there. */
export interface Backup {
  name: string;
  /** Folder on the server's machine. */
  path: string;
  made_at: number;
  bytes: number;
  files: number;
  rows: number;
}
/** What to make. */
export interface BackupRequest {
  /** Left out, it is the time. */
  name?: string | null;
}
export interface Backups {
  backups: Array<Backup>;
}
/** The jobs of a batch, in the order of its prompts. */
export interface Batch {
  jobs: Array<Job>;
}
export interface BatchKeyValue {
  key: string;
  value?: string;
}
export interface BatchLog {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
  metrics?: Array<BatchMetric>;
  params?: Array<BatchKeyValue>;
  tags?: Array<BatchKeyValue>;
}
export interface BatchMetric {
  key: string;
  value: number;
  timestamp: number;
  step?: number;
  model_id?: string;
  dataset_name?: string;
  dataset_digest?: string;
}
/** The best value of the headline metric, and the run that reached it. */
export interface Best {
  run_id: string;
  value: number;
}
/** Where a metric of the version must lie. */
export interface Bound {
  min?: number | null;
  max?: number | null;
}
export interface BulkAsked {
  run_id?: Array<string>;
  metric_key?: string | null;
  max_results?: number;
}
/** A version that takes a share of a model's traffic. */
export interface Canary {
  version: string;
  percent: number;
  by: string;
  started_at: number;
}
/** A staging version that takes a share of the jobs that name the model alone. */
export interface CanaryBody {
  /** A version, a stage or an alias. */
  version: string;
  percent: number;
  reason?: string;
  /** Who does it; with tokens, the token's name stands instead. */
  by?: string;
}
/** One entry of a model's history; never changed and never removed. */
export interface ChangeRow {
  id: string;
  name: string;
  version: string;
  action: "canary_rolled_back" | "canary_started" | "canary_stopped" | "deleted" | "described" | "evaluated" | "policy" | "promoted" | "registered" | "rolled_back" | "shadow_started" | "shadow_stopped";
  from_stage?: string;
  to_stage?: string;
  /** The version that was in prod before. */
  replaced?: string;
  by?: string;
  reason?: string;
  forced?: boolean;
  gates?: Array<GateResult>;
  details?: Record<string, any>;
  changed_at: number;
}
/** One thing that the server needs. */
export interface Check {
  ok: boolean;
  /** What is wrong and what to do; else what was found. */
  reason: string;
}
/** A collection to be made, or with `dry_run` only told of. Absent bounds are those of the settings. */
export interface CollectionRequest {
  dry_run?: boolean;
  /** Jobs older than this many days go; 0 keeps all. */
  keep_job_days?: number | null;
  /** Jobs before the newest so many go; 0 keeps all. */
  keep_jobs?: number | null;
  /** Jobs before the newest whose pictures fill so many bytes go; 0 keeps all. */
  keep_job_bytes?: number | null;
  /** Deleted runs and experiments can be restored for this many days. */
  restore_days?: number | null;
}
/** The collections that were made, newest first. */
export interface Collections {
  collections: Array<RetentionReport>;
}
export interface CompareQuery {
  /** Ids of up to 50 runs, with commas. */
  ids: string;
}
/** One key side by side: a value for each run, null where it has none. */
export interface Compared {
  key: string;
  values: Array<number | "-Infinity" | "Infinity" | "NaN" | string | null>;
  differs: boolean;
}
/** `archive.json`, written last: all that is whole in the folder. */
export interface Contents {
  format?: 1;
  gfedge: string;
  made_at: number;
  rows: Record<string, number>;
  tables: Record<string, TableEntry>;
  files: Record<string, File>;
}
/** Where a part goes, and what must come with it. */
export interface Credential {
  url: string;
  part_number: number;
  headers: Record<string, string>;
}
/** What a first screen shows, in one answer. */
export interface DashboardData {
  system_status: Status;
  /** The vital values by name. */
  metrics: Record<string, Value>;
  alerts: AlertSummary;
  quick_stats: QuickStats;
}
/** A dashboard in the list of them. */
export interface DashboardLink {
  uid: string;
  title: string;
  description?: string;
  tags?: Array<string>;
  /** gfedge: it comes with the server; grafana: it is there. */
  source: string;
  /** Its JSON here, or its page in that Grafana. */
  url: string;
  /** For an iframe; empty for those of the server. */
  embed_url?: string;
  /** For an iframe of one panel: put its id in the place of {panel}. */
  panel_embed_url?: string;
}
/** All panels of a dashboard over a time. */
export interface DashboardValues {
  uid: string;
  title: string;
  start: number;
  end: number;
  step: number;
  times: Array<number>;
  panels: Array<PanelData>;
}
/** The dashboards of the server and, where one is set, of a Grafana. */
export interface Dashboards {
  dashboards: Array<DashboardLink>;
  grafana: GrafanaState;
}
/** Over what time. */
export interface DataQuery {
  from?: string;
  to?: string;
  /** A 250th of the time, where not said. */
  step?: string;
}
/** A dataset, known by its name and digest together. */
export interface DatasetCreate {
  name: string;
  digest: string;
  /** http, local, s3, … */
  source_type?: string;
  /** Where it came from. */
  source?: string;
  /** Its columns, as any JSON. */
  schema?: any;
  /** Its counts and statistics, as any JSON. */
  profile?: any;
}
export interface DatasetFilter {
  dataset_name?: string;
  dataset_digest?: string;
}
export interface DatasetInput {
  tags?: Array<KeyValue>;
  dataset: MlflowDataset;
}
export interface DatasetQuery {
  /** Rows on a page. */
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
  /** Part of the name. */
  name?: string;
  /** The whole digest. */
  digest?: string;
}
export interface DatasetSummary {
  experiment_id: string;
  name: string;
  digest: string;
  context?: string;
}
export interface Datasets {
  next?: string | null;
  datasets: Array<TrackingDatasetDataset>;
}
export interface DatasetsAsked {
  experiment_ids?: Array<string>;
}
export interface DatasetsFound {
  dataset_summaries?: Array<DatasetSummary>;
}
export interface DownloadUri {
  artifact_uri: string;
}
/** An edge between nodes; `source` and `target` are `kind:id`. */
export interface Edge {
  source: string;
  target: string;
  relation: string;
}
/** A parameter that an entry point takes. */
export interface EntryParam {
  type?: "bool" | "float" | "int" | "judge" | "model" | "path" | "str";
  default?: boolean | number | string | null;
  min?: number | null;
  max?: number | null;
  choices?: Array<boolean | number | string>;
  pattern?: string;
  max_length?: number;
  root?: string;
  help?: string;
}
/** What can be trained, as clients see it. */
export interface EntryPoint {
  name: string;
  title: string;
  backends: Array<"external" | "local" | "vastai">;
  params: Record<string, EntryParam>;
  /** Whether it goes on after a restart. */
  resumes: boolean;
  /** Why it cannot be started now. */
  problem?: string;
}
export interface EntryPoints {
  entry_points: Array<EntryPoint>;
}
/** Every message of every stream. */
export interface Envelope {
  /** What happened, as `job.ended`. */
  type: string;
  /** Goes up within a stream, also over restarts. Not each number arrives: filters, and news of progress that was overtaken. Pass the last one seen as `since_seq` after a broken connection. */
  seq: number;
  /** Unix seconds. */
  at: number;
  /** By type, as the stream describes. */
  data: any;
}
/** The parameters of a question for exemplars. */
export interface Exemplars {
  /** A PromQL expression. */
  query: string;
  /** Unix seconds or RFC 3339. */
  start?: string;
  /** Unix seconds or RFC 3339. */
  end?: string;
}
export interface ExperimentFound {
  experiment: MlflowExperiment;
}
export interface ExperimentId {
  experiment_id: string;
}
export interface ExperimentMade {
  experiment_id: string;
}
export interface ExperimentName {
  experiment_name: string;
}
/** What changes; fields that are left out stay. A tag with null goes. */
export interface ExperimentPatch {
  /** A readable name without control characters. */
  name?: string;
  description?: string;
  tags?: Record<string, string | null>;
  headline?: Headline | null;
}
export interface ExperimentQuery {
  /** Rows on a page. */
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
  /** Part of the name. */
  name?: string;
  /** ai-generate, ai-superres, user, … */
  kind?: string;
  /** `key` or `key=value` that its tags hold. */
  tag?: string;
  /** Whether deleted ones are left out, alone, or among the others. */
  view?: "active" | "all" | "deleted";
  /** What to order by; `-` puts the highest first. */
  order?: "-activity" | "-created" | "-name" | "-runs" | "activity" | "created" | "name" | "runs";
}
/** An experiment as it is stored. */
export interface ExperimentRow {
  id: string;
  name: string;
  /** What makes its runs: ai-generate, ai-superres, or user. */
  kind: string;
  description: string;
  tags: Record<string, string>;
  created_at: number;
  headline?: Headline | null;
  deleted_at?: number | null;
  updated_at?: number | null;
  /** Where its clients put files themselves; empty: here. */
  artifact_location?: string;
}
export interface ExperimentSearch {
  max_results?: number;
  page_token?: string | null;
  filter?: string | null;
  order_by?: Array<string>;
  view_type?: "ACTIVE_ONLY" | "ALL" | "DELETED_ONLY";
}
export interface ExperimentTag {
  experiment_id: string;
  key: string;
  value?: string;
}
export interface ExperimentTagKey {
  experiment_id: string;
  key: string;
}
export interface ExperimentUpdate {
  experiment_id: string;
  new_name: string;
}
export interface Experiments {
  next?: string | null;
  experiments: Array<TrackingExperiment>;
}
export interface ExperimentsFound {
  experiments?: Array<MlflowExperiment>;
  next_page_token?: string;
}
/** The snapshot: the newest experiments and runs, or those of the topics. */
export interface ExperimentsNow {
  experiments: Array<ExperimentRow>;
  runs: Array<TrackingRun>;
}
/** An export that runs or ran: what changed since the one before is written. */
export interface Export {
  id: string;
  state: "done" | "failed" | "running";
  /** Who asked for it; `the server` for one by the clock. */
  by: string;
  started_at: number;
  ended_at?: number | null;
  /** Being written now. */
  table?: string;
  /** Written so far. */
  files?: number;
  /** To write; known when all tables are read. */
  files_total?: number;
  /** As they were, so left alone. */
  files_unchanged?: number;
  rows?: number;
  bytes?: number;
  /** Files that `export_keep_days` let go. */
  removed?: number;
  error?: string;
}
/** What to export. */
export interface ExportRequest {
  /** Left out or empty: all of them. */
  tables?: Array<string>;
  /** Only days (UTC) from this one on are looked at; empty: all. */
  since?: string;
}
/** An expression alone. */
export interface Expression {
  /** A PromQL expression. */
  query: string;
}
/** The body of every error. */
export interface Failure {
  error_code: string;
  message: string;
}
/** Something that is not as it was recorded. */
export interface Fault {
  kind: "artifact" | "asset" | "file" | "model_version" | "table";
  id: string;
  text: string;
}
/** One Parquet file of the archive. */
export interface File {
  table: string;
  date: string | null;
  rows: number;
  bytes: number;
  sha256: string;
  version: number;
  state: string;
  written_at: number;
}
/** A file, or a folder, which has no size. */
export interface FileInfo {
  path: string;
  is_dir: boolean;
  file_size?: number | null;
}
export interface FilesFound {
  root_uri?: string;
  files?: Array<FileInfo>;
}
/** How the training ended. */
export interface Finish {
  status?: "cancelled" | "failed" | "succeeded";
  error?: string;
  /** Folder of the run's artifacts that holds the model. */
  model?: string;
}
/** One condition of a promotion. */
export interface GateResult {
  gate: string;
  passed: boolean;
  /** What was measured. */
  figure?: number | null;
  /** What it is held against. */
  bound?: number | null;
  note?: string;
}
/** Conditions of one stage. That the files match their digests and that the model answers an input always holds. */
export interface Gates {
  /** Metrics that the version must have, within bounds. */
  metrics?: Record<string, Bound>;
  /** Compare it with the version in prod on the golden inputs. */
  golden?: boolean;
  /** superres: decibels that it may lose, on average. */
  max_psnr_loss?: number;
  /** superres: SSIM that it may lose. */
  max_ssim_loss?: number;
  /** generate: share of golden prompts that it may fail to draw more. */
  max_drawn_loss?: number;
  /** generate: the metric in which it must not be worse. */
  score?: string;
  score_higher_is_better?: boolean;
  max_score_loss?: number;
  /** How much longer than the version in prod it may take, measured in turns. */
  max_latency_ratio?: number | null;
  /** Who promotes it is not who registered it. */
  other_approver?: boolean;
}
/** Many prompts with the same options: a job for each. */
export interface GenerateBatch {
  /** What it should not show. */
  negative_prompt?: string;
  /** One of the model's styles (`/ai/vocabulary`). */
  style?: string;
  seed?: number | null;
  /** Pictures; picture i has the seed plus i. */
  n?: number;
  steps?: number | null;
  /** heun runs the model twice a step; dpmpp_2m does well with few. */
  sampler?: "dpmpp_2m" | "euler" | "heun" | null;
  guidance_scale?: number | null;
  /** A picture to start from. */
  init_image?: string;
  strength?: number | null;
  /** White where `init_image` is drawn anew; black or nothing stays as it is. */
  mask?: string;
  /** A texture that repeats: its edges meet (see `seam_score`). */
  tileable?: boolean;
  outline?: Outline | null;
  /** Upscaling after generating, in the same job. */
  scale?: 1 | 2 | 3 | 4 | 8;
  /** Number of colours, or the colours themselves. */
  palette?: number | Array<string> | null;
  /** A picture whose colours are taken: as many as `palette` says. */
  palette_image?: string;
  /** transparent, or a colour as #rrggbb. */
  background?: string;
  model?: string | null;
  experiment?: string | null;
  prompts: Array<string>;
}
/** What to generate. */
export interface GenerateParams {
  /** What it should not show. */
  negative_prompt?: string;
  /** One of the model's styles (`/ai/vocabulary`). */
  style?: string;
  seed?: number | null;
  /** Pictures; picture i has the seed plus i. */
  n?: number;
  steps?: number | null;
  /** heun runs the model twice a step; dpmpp_2m does well with few. */
  sampler?: "dpmpp_2m" | "euler" | "heun" | null;
  guidance_scale?: number | null;
  /** A picture to start from. */
  init_image?: string;
  strength?: number | null;
  /** White where `init_image` is drawn anew; black or nothing stays as it is. */
  mask?: string;
  /** A texture that repeats: its edges meet (see `seam_score`). */
  tileable?: boolean;
  outline?: Outline | null;
  /** Upscaling after generating, in the same job. */
  scale?: 1 | 2 | 3 | 4 | 8;
  /** Number of colours, or the colours themselves. */
  palette?: number | Array<string> | null;
  /** A picture whose colours are taken: as many as `palette` says. */
  palette_image?: string;
  /** transparent, or a colour as #rrggbb. */
  background?: string;
  model?: string | null;
  experiment?: string | null;
  /** What the picture shows: `a red dragon`. */
  prompt: string;
}
/** What the gates compare this version with others on: prompts, or PNG pictures to enlarge. */
export interface GoldenInputs {
  prompts?: Array<string>;
  /** PNG files, base64. */
  pictures?: Array<string>;
}
/** A GPU or a MIG instance of one; what this card does not tell is null. */
export interface Gpu {
  gpu: string;
  /** Number of the MIG instance; empty for a whole card. */
  mig: string;
  /** It answers; false where it was lost. */
  up: boolean;
  uuid: string;
  name: string;
  utilization_ratio: number | null;
  memory_bytes: number | null;
  memory_used_bytes: number | null;
  temperature_celsius: number | null;
  power_watts: number | null;
  power_limit_watts: number | null;
  /** Why its clocks are lowered now. */
  throttled: Array<string>;
  processes: Array<GpuProcess>;
}
/** A process that uses a GPU. */
export interface GpuProcess {
  pid: number;
  name: string;
  memory_bytes: number | null;
}
/** How the Grafana that is set answers. */
export interface GrafanaState {
  status: "not set" | "ok" | "unreachable";
  url?: string;
  detail?: string;
}
/** Rules that are evaluated together. */
export interface GroupState {
  name: string;
  file: string;
  interval_seconds: number;
  limit: number;
  evaluated_at: number | null;
  evaluation_seconds: number;
  /** Evaluations left out: the one before still ran. */
  missed: number;
  rules: Array<RuleState>;
}
/** The metric by which an experiment's runs are judged. */
export interface Headline {
  /** Name of a param, metric or tag, without control characters. */
  metric: string;
  /** Which values are better. */
  goal?: "max" | "min";
}
/** Whether the server serves, and what is ready; without a token, where one is needed, the first alone. */
export interface Health {
  status: string;
  version?: string;
  device?: string;
  models?: Record<string, string>;
  jobs?: Record<string, number>;
}
/** The answer to a report. */
export interface Heard {
  state: "cancelled" | "failed" | "lost" | "paused" | "queued" | "running" | "starting" | "succeeded";
  /** Whether the trainer should stop. */
  cancelled: boolean;
}
export interface HistoryAsked {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
  metric_key: string;
  max_results?: number | null;
  page_token?: string | null;
}
/** The history of metrics. */
export interface HistoryState {
  series: number;
  /** By name, what is not sampled (setting max_series). */
  dropped_series: Record<string, number>;
  interval_seconds: number;
  last_sample_at: number | null;
  memory_from: number | null;
  memory_bytes: number;
  stored_from: number | null;
  stored_samples: number;
  stored_bytes: number;
  lost_by_a_crash_seconds: number;
}
/** A dataset that a run read. */
export interface Input {
  dataset_id: string;
  name: string;
  digest: string;
  context?: string;
  tags?: Record<string, string>;
}
/** A dataset that a run reads, as what. */
export interface InputCreate {
  name: string;
  digest: string;
  /** http, local, s3, … */
  source_type?: string;
  /** Where it came from. */
  source?: string;
  /** Its columns, as any JSON. */
  schema?: any;
  /** Its counts and statistics, as any JSON. */
  profile?: any;
  /** training, evaluation, … */
  context?: string;
  /** What else is told of it as an input. */
  tags?: Record<string, string>;
}
export interface InputsCreate {
  datasets: Array<InputCreate>;
}
export interface InputsLog {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
  datasets?: Array<DatasetInput>;
  models?: Array<ModelInput>;
}
/** Which values. */
export interface InstantQuery {
  /** Names of vital values or of metrics, with commas; none and no query: all vital values. */
  names?: string;
  /** A PromQL expression. */
  query?: string;
  /** Now, where it is not said. */
  time?: string;
  /** external asks the Prometheus of PROMETHEUS_URL. */
  source?: "external" | "internal";
}
export interface IntervalAsked {
  run_ids: Array<string>;
  metric_key: string;
  start_step?: number | null;
  end_step?: number | null;
  max_results?: number;
}
/** A job as clients see it. */
export interface Job {
  id: string;
  kind: "generate" | "sheet" | "superres";
  status: "cancelled" | "failed" | "queued" | "running" | "succeeded";
  /** 1 is next; absent once it runs. */
  queue_position: number | null;
  progress: AiProgress;
  params: Record<string, any>;
  seed: number | null;
  model: ModelRef | null;
  /** What enlarged a generated picture. */
  upscaler: ModelRef | null;
  /** sha256 of each input asset. */
  inputs: Array<string>;
  experiment_id: string;
  run_id: string;
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  timings: Timings;
  outputs: Array<Output>;
  /** Words of the prompt and the negative prompt that the model never saw in training; told when the job has run. */
  unknown_words: Array<string>;
  /** Words of both that it was trained on but not found to draw; empty where it names no words that it draws. */
  undocumented_words?: Array<string>;
  /** Words of both beyond those that the model can read. */
  dropped_words: Array<string>;
  /** What to say instead. For unknown words, known words or phrases of about that meaning, or spelled alike where none is known; for undocumented ones, documented ones of about that meaning. */
  suggestions?: Record<string, Array<string>>;
  /** What was measured besides the times: `seam_score`, the mean over the outputs, is about 1 without a seam; `peak_memory_bytes` is the most that the server's process has held since it began, not the job's own share. */
  measures?: Record<string, number>;
  error: JobError | null;
  /** The job that this one ran again. */
  replay_of?: string | null;
  /** The job that a version in shadow ran for comparison. */
  shadow_of?: string | null;
  /** What it ran on: device, threads, libraries, processor; known at its end. */
  surroundings?: Record<string, string>;
}
/** Why a job failed. */
export interface JobError {
  code: string;
  detail: string;
}
export interface JobPage {
  next?: string | null;
  jobs: Array<Job>;
}
/** How far a job is. */
export interface JobProgress {
  id: string;
  progress: AiProgress;
}
/** Which jobs to list. */
export interface JobQuery {
  /** Rows on a page. */
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
  status?: "cancelled" | "failed" | "queued" | "running" | "succeeded" | null;
  kind?: "generate" | "sheet" | "superres" | null;
  /** Name of a model. */
  model?: string;
  /** Created at or after this Unix time. */
  after?: number | null;
  /** Created before this Unix time. */
  before?: number | null;
}
/** The snapshot: jobs that run, the next 100 and the last 20 that ended, or those of the topics; newest first. */
export interface JobsNow {
  queued: number;
  running: number;
  jobs: Array<Job>;
}
/** Something that the policy would let go, and what needs it. */
export interface Kept {
  kind: string;
  id: string;
  reason: string;
}
/** A param or a tag. */
export interface KeyValue {
  key: string;
  value?: string;
}
/** What a model knows. A word outside is read by its letters alone, and named in the job's `unknown_words`; one that was not found to be drawn, in its `undocumented_words`. */
export interface Known {
  model: string;
  /** The words to build on. */
  documented: Array<string>;
  /** All words, those with most pictures first. */
  words: Array<Word>;
  /** Words that are read as another. */
  aliases: Record<string, string>;
  /** Values of `style`, and what each adds. */
  styles: Record<string, Record<string, any>>;
  samplers: Array<string>;
  looked_up: Array<Looked>;
}
export interface LatestAsked {
  name: string;
  stages?: Array<string>;
}
/** The graph around a thing, nearest first. The edges are those between the nodes of this page and the subject. */
export interface Lineage {
  next?: string | null;
  subject: string;
  /** up: what it came from; down: what came of it. */
  direction: "both" | "down" | "up";
  nodes: Array<LineageNode>;
  edges: Array<Edge>;
  /** There is more: on the next page, or deeper than `depth`. */
  truncated: boolean;
}
/** A thing in the graph. */
export interface LineageNode {
  kind: "asset" | "commit" | "dataset" | "experiment" | "job" | "logged_model" | "model_version" | "promotion" | "run" | "training_job" | "training_run";
  id: string;
  /** From the subject; negative towards what it came from. */
  steps: number;
  /** Its own resource, where it has one. */
  href: string | null;
  facts: Record<string, any>;
}
/** How far to walk, and what to show of it. */
export interface LineageQuery {
  /** up: what it came from; down: what came of it. */
  direction?: "both" | "down" | "up";
  /** Steps from the subject. */
  depth?: number;
  /** Kinds to show, with commas; the walk passes through all. None named shows all. */
  kinds?: string;
  /** Nodes on a page. */
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
  /** openlineage: run events (spec 2-0-2); prov: W3C PROV-JSON. Both hold all that it came from, and what it made; they take no other parameter. */
  format?: "graph" | "openlineage" | "prov";
}
export interface ListAsked {
  path?: string;
}
/** A page of a listing, newest first. */
export interface ListQuery {
  /** Rows on a page. */
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
}
/** A silence, and whether it holds. */
export interface ListedSilence {
  id: string;
  matchers: Array<Matcher>;
  starts_at: number;
  ends_at: number;
  created_at: number;
  created_by: string;
  comment: string;
  state: "active" | "expired" | "pending";
}
/** A model in memory. */
export interface LoadedModel {
  name: string;
  version: string;
  load_seconds: number;
  memory_bytes: number;
  busy: boolean;
}
/** What a run reports: all of it is recorded, or nothing. */
export interface LogBatch {
  /** Keys that begin with `system/` are system metrics. */
  metrics?: Array<Point>;
  /** A value never changes. */
  params?: Record<string, string>;
  tags?: Record<string, string>;
}
/** Which part of a log. */
export interface LogQuery {
  /** First byte; a negative one counts from the end. */
  offset?: number;
  /** Bytes at most; 0 for all. */
  limit?: number;
  /** Go on with what is written until the job ends. */
  follow?: boolean;
}
/** What is recorded now, durably. */
export interface Logged {
  run_id: string;
  points: number;
  params: number;
  tags: number;
}
export interface LoggedModelCreate {
  experiment_id: string;
  name?: string | null;
  model_type?: string | null;
  source_run_id?: string | null;
  params?: Array<KeyValue>;
  tags?: Array<KeyValue>;
}
export interface LoggedModelData {
  params?: Array<KeyValue>;
  metrics?: Array<Metric>;
}
export interface LoggedModelFiles {
  root_uri: string;
  files?: Array<FileInfo>;
}
export interface LoggedModelFilesAsked {
  model_id: string;
  artifact_directory_path?: string;
}
export interface LoggedModelFinalize {
  model_id: string;
  status: string | number;
}
export interface LoggedModelFound {
  model: MlflowModelLoggedModel;
}
export interface LoggedModelId {
  model_id: string;
  allow_deleted?: boolean;
}
export interface LoggedModelInfo {
  model_id: string;
  experiment_id: string;
  name: string;
  creation_timestamp_ms: number;
  last_updated_timestamp_ms: number;
  artifact_uri: string;
  status: string;
  model_type?: string;
  source_run_id?: string;
  status_message?: string;
  tags?: Array<KeyValue>;
}
export interface LoggedModelOrder {
  dataset_name?: string;
  dataset_digest?: string;
  field_name: string;
  ascending?: boolean;
}
export interface LoggedModelParams {
  model_id: string;
  params?: Array<KeyValue>;
}
/** Those of an experiment, newest first. */
export interface LoggedModelQuery {
  /** Its id or name. */
  experiment: string;
}
export interface LoggedModelSearch {
  experiment_ids: Array<string>;
  filter?: string | null;
  datasets?: Array<DatasetFilter>;
  max_results?: number | null;
  order_by?: Array<LoggedModelOrder>;
  page_token?: string | null;
}
export interface LoggedModelTagKey {
  model_id: string;
  key: string;
}
export interface LoggedModelTags {
  model_id: string;
  tags?: Array<KeyValue>;
}
export interface LoggedModels {
  logged_models: Array<TrackingLoggedModelRoutesLoggedModel>;
}
export interface LoggedModelsFound {
  models?: Array<MlflowModelLoggedModel>;
  next_page_token?: string;
}
/** One of the two: a token, or the code of a setup link. */
export interface Login {
  token?: string;
  setup?: string;
}
/** A word that was asked for. */
export interface Looked {
  word: string;
  /** The word of the vocabulary that it is read as; absent where it is unknown. */
  means: string | null;
  /** It is known from the training, but the model, which names the words that it was found to draw, does not name this one. */
  undocumented: boolean;
  /** For an unknown word, known words or phrases of about that meaning, or spelled alike where none is known; for an undocumented one, documented ones of about that meaning; else empty. */
  nearest: Array<string>;
}
/** A new token. Its text is shown this once and stored nowhere. */
export interface MadeToken {
  token: string;
  id: string;
  name: string;
  scope: "admin" | "metrics" | "read" | "run";
  expires_at: number | null;
}
/** A condition for one label; a label that is missing counts as empty. */
export interface Matcher {
  name: string;
  /** =~ and !~ take a regular expression. */
  op?: "!=" | "!~" | "=" | "=~";
  value: string;
}
/** Which series are meant, and when they were seen. */
export interface Matching {
  /** Selectors of series, any of which may match. */
  "match[]"?: Array<string>;
  /** Unix seconds or RFC 3339. */
  start?: string;
  /** Unix seconds or RFC 3339. */
  end?: string;
  /** How many at most; 0 for all. */
  limit?: string;
}
export interface Metric {
  key: string;
  value: number | "-Infinity" | "Infinity" | "NaN";
  timestamp: number;
  step: number;
  run_id?: string;
  model_id?: string;
  dataset_name?: string;
  dataset_digest?: string;
}
export interface MetricLog {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
  key: string;
  value: number;
  timestamp: number;
  step?: number;
  model_id?: string;
  dataset_name?: string;
  dataset_digest?: string;
}
/** Which metrics are meant. */
export interface MetricNames {
  metric?: string;
  /** How many at most; 0 for all. */
  limit?: string;
  /** How many at most; 0 for all. */
  limit_per_metric?: string;
}
export interface MetricsFound {
  metrics?: Array<Metric>;
  next_page_token?: string;
}
/** A model: its versions, newest first, and the one that serves; empty where none does. */
export interface Model {
  name: string;
  kind: string;
  serving: string;
  /** Version of each alias. */
  aliases: Record<string, string>;
  versions: Array<ModelVersion>;
}
/** What its makers wrote about a version, in its folder's CARD.md. */
export interface ModelCard {
  /** Markdown; empty where they wrote none. */
  text: string;
}
export interface ModelCreate {
  name: string;
  tags?: Array<KeyValue>;
  description?: string | null;
}
export interface ModelFound {
  registered_model: RegisteredModel;
}
export interface ModelInput {
  model_id: string;
}
/** A logged model that a run read or made. */
export interface ModelLink {
  model_id: string;
  direction: "input" | "output";
  step?: number;
}
/** What clients before 3.0 tell of a model that they logged. */
export interface ModelLog {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
  model_json: string;
}
/** The latest value of a metric of a model, of one run on one dataset. */
export interface ModelMetric {
  key: string;
  value: number | "-Infinity" | "Infinity" | "NaN";
  step: number;
  logged_at: number;
  run_id: string;
  dataset_name: string;
  dataset_digest: string;
}
export interface ModelNamed {
  name: string;
}
export interface ModelOutput {
  model_id: string;
  step?: number;
}
/** Which models to list; with `stage`, only versions of that stage. */
export interface ModelQuery {
  stage?: "archived" | "dev" | "prod" | "staging" | null;
  kind?: "generate" | "other" | "superres" | null;
}
/** The model version that a job runs. */
export interface ModelRef {
  name: string;
  version: string;
  digest: string;
}
export interface ModelRename {
  name: string;
  new_name: string;
}
export interface ModelTag {
  name: string;
  key: string;
  value?: string;
}
export interface ModelTagKey {
  name: string;
  key: string;
}
export interface ModelUpdate {
  name: string;
  description?: string | null;
}
/** A version of a model as clients see it. */
export interface ModelVersion {
  id: string;
  name: string;
  version: string;
  kind: string;
  stage: "archived" | "dev" | "prod" | "staging";
  aliases: Array<string>;
  tags: Record<string, string>;
  digest: string;
  title: string;
  description: string;
  licence: string;
  source: string;
  bytes: number;
  /** sha256 of each file. */
  files: Record<string, string>;
  signature: Signature;
  inputs: Record<string, string>;
  defaults: Record<string, any>;
  limits: Record<string, any>;
  metrics: Record<string, number>;
  /** How it was measured: `judge`, the digest of the judge that its score is of. */
  evaluation: Record<string, any>;
  training: Record<string, any>;
  dataset: Record<string, any>;
  source_run: string;
  training_job: string;
  dataset_id: string;
  /** The logged model that it was made of, or empty. */
  model_id: string;
  author: string;
  note: string;
  registered_at: number;
  /** registered, loading, ready, failed with the reason, or files missing. */
  state: string;
}
export interface Models {
  models: Array<Model>;
  refused: Array<Refused>;
}
export interface ModelsFound {
  registered_models?: Array<RegisteredModel>;
  next_page_token?: string;
}
/** No messages about the alerts that fulfil all matchers, from a time to another. */
export interface NewSilence {
  matchers: Array<Matcher>;
  /** Unix seconds; now, where it is not said. */
  starts_at?: number | null;
  /** Unix seconds; or give duration_seconds. */
  ends_at?: number | null;
  /** How long it holds; or give ends_at. */
  duration_seconds?: number | null;
  comment?: string;
}
/** What a new token is for. */
export interface NewToken {
  /** Who or what uses the token: unreal-plugin. */
  name: string;
  scope?: "admin" | "metrics" | "read" | "run";
  expires_in_seconds?: number | null;
}
/** A line around what is visible, drawn before upscaling. */
export interface Outline {
  /** A colour as #rrggbb. */
  colour?: string;
  /** In pixels of the sprite. */
  width?: number;
}
/** A picture that a job made or took. */
export interface Output {
  sha256: string;
  pixels_sha256: string;
  url: string;
  media_type: string;
  width: number;
  height: number;
  bytes: number;
  /** Of a tileable texture: about 1 without a seam. Else absent. */
  seam_score?: number | null;
}
export interface OutputsLog {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
  models: Array<ModelOutput>;
}
/** A panel, evaluated. */
export interface PanelData {
  id: number;
  title: string;
  type: string;
  unit: string;
  /** Place of 24 columns: x, y, w, h. */
  grid: Record<string, number>;
  targets: Array<PanelTarget>;
}
/** A line of a panel; its values stand at the times of the answer, null where there is none. */
export interface PanelSeries {
  name: string;
  labels: Record<string, string>;
  values: Array<number | null>;
}
/** One expression of a panel. */
export interface PanelTarget {
  ref_id: string;
  query: string;
  series: Array<PanelSeries>;
  error?: string;
}
export interface ParamLog {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
  key: string;
  value?: string;
}
/** An asset that stays. */
export interface Pin {
  sha256: string;
  pinned_at: number;
}
/** The assets that stay, those pinned last first. */
export interface Pins {
  pins: Array<Pin>;
}
/** One point of a metric. */
export interface Point {
  /** Name of a param, metric or tag, without control characters. */
  key: string;
  value: number | "-Infinity" | "Infinity" | "NaN";
  step?: number;
  logged_at?: number | null;
}
/** A new policy; what is left out is as by default. */
export interface PolicyBody {
  staging?: Gates;
  prod?: ProdGates;
  watch?: Watch;
  /** How long the version before stays in memory. */
  keep_warm_seconds?: number;
  reason?: string;
  /** Who does it; with tokens, the token's name stands instead. */
  by?: string;
}
/** An unfinished picture of a job. */
export interface Preview {
  id: string;
  /** Which of the job's pictures. */
  index: number;
  /** Steps done. */
  step: number;
  width: number;
  height: number;
  /** In base64. */
  png: string;
}
/** The body of every error answer, `application/problem+json`. */
export interface ProblemDetails {
  status: number;
  title: string;
  detail: string;
  code: string;
  type?: string;
  instance?: string;
  field?: string;
}
/** Conditions of prod, which compare with the version there unless they are told not to. */
export interface ProdGates {
  /** Metrics that the version must have, within bounds. */
  metrics?: Record<string, Bound>;
  golden?: boolean;
  /** superres: decibels that it may lose, on average. */
  max_psnr_loss?: number;
  /** superres: SSIM that it may lose. */
  max_ssim_loss?: number;
  /** generate: share of golden prompts that it may fail to draw more. */
  max_drawn_loss?: number;
  /** generate: the metric in which it must not be worse. */
  score?: string;
  score_higher_is_better?: boolean;
  max_score_loss?: number;
  max_latency_ratio?: number | null;
  /** Who promotes it is not who registered it. */
  other_approver?: boolean;
}
/** As Prometheus answers: numbers are text, NaN and Inf among them. */
export interface PromAnswer {
  source: string;
  resultType: "matrix" | "scalar" | "string" | "vector";
  result: any;
  warnings?: Array<string>;
  infos?: Array<string>;
}
/** PromQL at one time (`time`), or over a range (`start` and `end`, `step`). */
export interface PromQuery {
  /** PromQL. */
  query: string;
  /** Now, where it is not said. */
  time?: string;
  /** Makes it a range: 1700000000, now-6h. */
  start?: string;
  /** Now, where it is not said. */
  end?: string;
  /** 15, 15s, 1m; a 250th of the range, where not said. */
  step?: string;
  /** external asks the Prometheus of PROMETHEUS_URL. */
  source?: "external" | "internal";
}
/** Where a version goes, why and by whom. */
export interface PromoteBody {
  /** A version, a stage or an alias; or in the path, as `sprite@3`. */
  version?: string;
  /** Absent, the next one: dev, staging, prod. */
  stage?: "archived" | "dev" | "prod" | "staging" | null;
  reason?: string;
  /** Who does it; with tokens, the token's name stands instead. */
  by?: string;
  /** Only show the gates. */
  dry_run?: boolean;
  /** Promote although gates fail; for admins, and recorded. */
  force?: boolean;
}
/** A version that came to another stage, or would. */
export interface Promotion {
  /** Of the entry in the history; empty of a dry run. */
  id: string;
  name: string;
  version: string;
  from_stage: "archived" | "dev" | "prod" | "staging";
  to_stage: "archived" | "dev" | "prod" | "staging";
  /** The version that was in prod before. */
  replaced: string;
  by: string;
  reason: string;
  forced: boolean;
  dry_run: boolean;
  passed: boolean;
  gates: Array<GateResult>;
  /** To have it in memory beside the others. */
  load_seconds: number;
}
/** How many jobs wait and run, and the positions of the next 100. */
export interface QueueMoved {
  queued: number;
  running: number;
  positions: Record<string, number>;
}
/** A few numbers since the start. */
export interface QuickStats {
  jobs_succeeded: number;
  jobs_failed: number;
  jobs_cancelled: number;
  pictures: number;
  requests: number;
  models_ready: number;
  uptime_seconds: number;
}
/** The parameters of a query over a range of time. */
export interface Ranged {
  /** A PromQL expression. */
  query: string;
  /** Unix seconds or RFC 3339. */
  start: string;
  /** Unix seconds or RFC 3339. */
  end: string;
  /** Seconds, or a duration such as 1h30m. */
  step: string;
  /** Seconds, or a duration such as 1h30m. */
  timeout?: string;
  /** How many at most; 0 for all. */
  limit?: string;
  /** Seconds, or a duration such as 1h30m. */
  lookback_delta?: string;
  /** all: say what it cost. */
  stats?: string;
}
/** Whether work can be done here now. */
export interface Readiness {
  status: "not ready" | "ready";
  /** models, provider, database, files, disk, gpu, workers; only with a token, where needed. */
  checks?: Record<string, Check>;
}
/** Where messages go, and whether they arrive. Nothing secret is shown. */
export interface ReceiverState {
  name: string;
  kind: "alertmanager" | "email" | "ntfy" | "webhook";
  target: string;
  min_severity: string;
  /** The latest message that arrived. */
  sent_at: number | null;
  failing_since: number | null;
  /** Attempts since the latest that arrived. */
  failures: number;
  error: string;
  next_try_at: number | null;
}
/** All receivers of the configuration. */
export interface Receivers {
  receivers: Array<ReceiverState>;
  /** Of the file of receivers; empty where it is sound. */
  fault: string;
}
/** A model folder that was not taken, and why. */
export interface Refused {
  path: string;
  reason: string;
}
/** A version from what is on this server already: a run's artifact, or a folder under the models folder. */
export interface RegisterBody {
  /** With `artifact`. */
  run_id?: string;
  /** A folder of the run, an archive, or a single .onnx file. */
  artifact?: string;
  /** `name/version` below the models folder. */
  folder?: string;
  name?: string | null;
  version?: string | null;
  /** Id of a dataset. */
  dataset?: string;
  training_job?: string;
  note?: string;
  /** Who does it; with tokens, the token's name stands instead. */
  by?: string;
}
/** What is told of an upload besides its bytes; fields of the same names in a form do the same. */
export interface RegisterQuery {
  name?: string | null;
  version?: string | null;
  /** Id of the run it came from. */
  source_run?: string;
  training_job?: string;
  /** Id of a dataset. */
  dataset?: string;
  note?: string;
  /** Who does it; with tokens, the token's name stands instead. */
  by?: string;
}
export interface RegisteredModel {
  name: string;
  creation_timestamp: number;
  last_updated_timestamp: number;
  description?: string | null;
  latest_versions?: Array<Version>;
  tags?: Array<KeyValue>;
  aliases?: Array<Alias>;
}
/** What came of one reload. */
export interface Reloaded {
  name: string;
  said: Array<string>;
}
/** What came of all of them. */
export interface Reloads {
  reloads: Array<Reloaded>;
}
/** Something that goes, and why. */
export interface Removed {
  /** job, run, experiment, asset, artifact, training, or temporary. */
  kind: string;
  id: string;
  bytes: number;
  reason: string;
}
/** A rented machine. */
export interface Rental {
  /** By which the machine is found again. */
  label: string;
  max_dollars: number;
  instance_id?: number | null;
  gpu?: string;
  dollars_per_hour?: number;
  rented_at?: number | null;
  destroyed_at?: number | null;
  /** By the hour's price and this clock. */
  spent_dollars?: number;
}
/** What a rented machine may cost; never more than the settings and the entry point allow. */
export interface RentalWish {
  /** Least GPU memory. */
  gpu_memory_gb?: number;
  max_dollars_per_hour?: number | null;
  max_dollars?: number | null;
}
/** A job that ran another one again, and what came of it. */
export interface Replay {
  original: string;
  job: Job;
  verdict: "different" | "identical" | "not_comparable" | "same_pixels" | null;
  outputs: Array<AiReplayComparison>;
  /** Why the result differs, or may. */
  reasons: Array<string>;
}
/** Why the version in prod goes, and by whom. */
export interface RollbackBody {
  reason?: string;
  /** Who does it; with tokens, the token's name stands instead. */
  by?: string;
}
/** All rules, by file and group. */
export interface RuleGroups {
  groups: Array<GroupState>;
  /** Of files that could not be taken; what was read before goes on. */
  faults: Array<string>;
  loaded_at: number;
}
/** Which rules are meant. */
export interface RuleNames {
  /** alert or record. */
  type?: string;
  "rule_name[]"?: Array<string>;
  "rule_group[]"?: Array<string>;
  "file[]"?: Array<string>;
  /** Selectors of series, any of which may match. */
  "match[]"?: Array<string>;
  /** true: without the alerts of each rule. */
  exclude_alerts?: string;
  /** How many at most; 0 for all. */
  group_limit?: string;
  group_next_token?: string;
}
/** A rule and how its latest evaluation went. */
export interface RuleState {
  name: string;
  type: "alerting" | "recording";
  /** Of an alerting rule; unknown before its first evaluation. */
  state: "" | "firing" | "inactive" | "pending" | "unknown";
  query: string;
  for_seconds: number;
  keep_firing_for_seconds: number;
  labels: Record<string, string>;
  /** As templates. */
  annotations: Record<string, string>;
  health: "err" | "ok" | "unknown";
  last_error: string;
  evaluated_at: number | null;
  evaluation_seconds: number;
  alerts: Array<Alert>;
}
/** Runs side by side, in the order asked for. */
export interface RunComparison {
  runs: Array<RunRow>;
  params: Array<Compared>;
  metrics: Array<Compared>;
  system_metrics: Array<Compared>;
  tags: Array<Compared>;
}
export interface RunData {
  metrics?: Array<Metric>;
  params?: Array<KeyValue>;
  tags?: Array<KeyValue>;
}
export interface RunFileAsked {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
  path: string;
}
export interface RunFileSent {
  run_uuid?: string;
  path?: string;
}
export interface RunFound {
  run: MlflowRun;
}
/** A run by its id, which older clients call `run_uuid`. */
export interface RunId {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
}
export interface RunInfo {
  run_uuid: string;
  experiment_id: string;
  run_name: string;
  user_id: string;
  status: string;
  start_time: number;
  end_time?: number | null;
  artifact_uri: string;
  lifecycle_stage: string;
  run_id: string;
}
export interface RunInfoFound {
  run_info: RunInfo;
}
export interface RunInputs {
  dataset_inputs?: Array<DatasetInput>;
  model_inputs?: Array<ModelInput>;
}
export interface RunListAsked {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
  path?: string;
}
/** What a run reported. */
export interface RunLogged {
  run_id: string;
  experiment_id: string;
  /** The last 1000 of the report. */
  points: Array<Point>;
  /** Points in the report. */
  total: number;
  params: Record<string, string>;
  tags: Record<string, string>;
}
export interface RunOutputs {
  model_outputs?: Array<ModelOutput>;
}
/** What changes; fields that are left out stay. A tag with null goes. */
export interface RunPatch {
  /** A readable name without control characters. */
  name?: string;
  status?: "failed" | "finished" | "killed" | "running" | "scheduled";
  ended_at?: number;
  tags?: Record<string, string | null>;
}
/** A page of runs, in the order of the filter, or newest first. */
export interface RunQuery {
  /** Rows on a page. */
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
  /** As in `metrics.loss < 0.1 and params.lr = '0.001' order by metrics.loss`. */
  filter?: string;
  /** Ids or names of experiments, with commas. */
  experiment?: string;
  /** Whether deleted ones are left out, alone, or among the others. */
  view?: "active" | "all" | "deleted";
}
/** A run as it is stored. */
export interface RunRow {
  id: string;
  experiment_id: string;
  name: string;
  kind: string;
  status: string;
  created_at: number;
  started_at: number | null;
  ended_at: number | null;
  parent_id?: string | null;
  source?: Source | null;
  deleted_at?: number | null;
  user_id?: string;
}
export interface RunSearch {
  experiment_ids?: Array<string>;
  filter?: string | null;
  run_view_type?: "ACTIVE_ONLY" | "ALL" | "DELETED_ONLY";
  max_results?: number;
  order_by?: Array<string>;
  page_token?: string | null;
}
export interface RunUpdate {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
  status?: "FAILED" | "FINISHED" | "KILLED" | "RUNNING" | "SCHEDULED" | null;
  end_time?: number | null;
  run_name?: string | null;
}
export interface Runs {
  next?: string | null;
  runs: Array<TrackingRun>;
}
export interface RunsFound {
  runs?: Array<MlflowRun>;
  next_page_token?: string;
}
/** What made the tables of a database, and how much room a copy of it has. */
export interface Schema {
  /** As slice/script, in order. */
  migrations: Array<string>;
  database_bytes: number;
  /** On the disk of the data folder. */
  free_bytes: number;
}
export interface Search {
  filter?: string | null;
  max_results?: number | null;
  order_by?: Array<string>;
  page_token?: string | null;
}
/** One series of a value. */
export interface SeriesValue {
  labels: Record<string, string>;
  /** Null where it is not a finite number. */
  value: number | null;
}
/** What of MLflow's newer abilities this server has. */
export interface ServerInfo {
  store_type?: string;
  workspaces_enabled?: boolean;
  trace_archival_enabled?: boolean;
  multipart_uploads_enabled?: boolean;
  multipart_downloads_enabled?: boolean;
}
/** Who is asking, and what they may do. */
export interface Session {
  name: string;
  scope: string;
  token_id: string;
}
/** A setting that this server runs with. */
export interface Setting {
  name: string;
  /** Secrets are hidden. */
  value: string | number | boolean | null;
  default: string | number | boolean | null;
  /** Who gave it: `default`, a flag, a variable of the environment, or the file. */
  source: string;
  /** A reload changes it; others wait for a restart. */
  live: boolean;
  help: string;
}
/** A version that runs what the version in prod ran, for comparison alone. */
export interface Shadow {
  version: string;
  by: string;
  started_at: number;
}
/** A version that runs what the version in prod ran, when nothing else is to be done. */
export interface ShadowBody {
  /** A version, a stage or an alias. */
  version: string;
  reason?: string;
  /** Who does it; with tokens, the token's name stands instead. */
  by?: string;
}
/** Which pictures to put on one sheet, and how. Pictures of one size stand in a grid, others on shelves. */
export interface SheetParams {
  pictures: Array<string>;
  /** One for each picture, all different; absent: sprite-0, sprite-1, … */
  names?: Array<string> | null;
  /** The file's, without .png. */
  name?: string;
  columns?: number | null;
  /** Empty pixels between pictures. */
  padding?: number;
  /** Sides of 2, 4, 8, … pixels. */
  power_of_two?: boolean;
  experiment?: string | null;
}
/** What a graph takes and gives. */
export interface Signature {
  inputs?: Array<Tensor>;
  outputs?: Array<Tensor>;
  opset?: number;
}
/** Silences, the newest first; those that ended are kept for a week. */
export interface Silences {
  silences: Array<ListedSilence>;
}
/** The code that a run ran. */
export interface Source {
  /** Git commit. */
  commit?: string;
  /** Script or command. */
  entry_point?: string;
  /** Where the commit is. */
  repository?: string;
}
export interface StageAsked {
  name: string;
  version: string;
  stage: string;
  archive_existing_versions?: boolean;
}
/** The server and its machine now. */
export interface Status {
  /** ok, or why no jobs can run. */
  status: string;
  version: string;
  python: string;
  onnxruntime: string;
  duckdb: string;
  started_at: number;
  uptime_seconds: number;
  provider: string;
  device: string;
  gpu_driver: string;
  gpus: Array<Gpu>;
  xid_errors: Array<XidError>;
  models: Array<LoadedModel>;
  model_states: Record<string, string>;
  queue: Record<string, number>;
  storage: Storage;
  history: HistoryState;
  /** Of the last minutes, by name. */
  rates: Record<string, number | null>;
}
/** Why it ends, and by whom. */
export interface StopQuery {
  reason?: string;
  /** Who does it; with tokens, the token's name stands instead. */
  by?: string;
}
/** Where things are kept, and how much. */
export interface Storage {
  /** The data folder; only for the scope admin. */
  data: string;
  disk_free_bytes: number | null;
  disk_size_bytes: number | null;
  database_bytes: number | null;
  wal_bytes: number | null;
}
/** What a client wants of a stream: its first message, and again whenever that changes. `{}` is everything. */
export interface Subscription {
  /** As `job:ID`; one that matches is enough. None: all. */
  topics?: Array<string>;
  /** Types of messages. None: all. */
  types?: Array<string>;
  /** Go on after this message; where that is too long ago, a `gap` says so. */
  since_seq?: number | null;
  /** Seconds between deliveries; what is overtaken is left out. */
  interval?: number;
  /** Send unfinished pictures too (ai-jobs). */
  previews?: boolean;
}
/** How many, and how large. */
export interface Sum {
  count?: number;
  bytes?: number;
}
/** Upscaling asked for in JSON: the picture as base64, or an asset that is here already. */
export interface SuperresBody {
  /** 8 is two passes; absent, the model's own. */
  scale?: 2 | 3 | 4 | 8 | null;
  /** smooth runs the net; pixel repeats pixels, for art that must stay pixel art. */
  mode?: "pixel" | "smooth";
  /** The texture repeats: its edges must still meet. */
  tileable?: boolean;
  model?: string | null;
  experiment?: string | null;
  /** The picture's bytes in base64; a data: URL is fine too. */
  image?: string;
  /** sha256 of an asset. */
  asset?: string;
}
/** How to upscale. */
export interface SuperresParams {
  /** 8 is two passes; absent, the model's own. */
  scale?: 2 | 3 | 4 | 8 | null;
  /** smooth runs the net; pixel repeats pixels, for art that must stay pixel art. */
  mode?: "pixel" | "smooth";
  /** The texture repeats: its edges must still meet. */
  tileable?: boolean;
  model?: string | null;
  experiment?: string | null;
}
/** What a table of the archive holds. */
export interface TableEntry {
  about: string;
  version: number;
  by_day: boolean;
  columns: Record<string, string>;
  files?: number;
  rows?: number;
  bytes?: number;
  first_date?: string | null;
  last_date?: string | null;
}
export interface TagKey {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
  key: string;
}
export interface TagSet {
  /** It must be there. */
  run_id?: string;
  /** The same, as older clients name it. */
  run_uuid?: string;
  key: string;
  value?: string;
}
/** An input or output of a graph. */
export interface Tensor {
  name: string;
  dtype: string;
  shape: Array<number | string | null>;
}
/** Opens one WebSocket: `new WebSocket(url, ["gfedge.v1", "ticket." + ticket])`. */
export interface Ticket {
  ticket: string;
  expires_in_seconds: number;
}
/** Where a job's time went, in seconds. */
export interface Timings {
  queue_seconds?: number;
  load_seconds?: number;
  decode_seconds?: number;
  inference_seconds?: number;
  encode_seconds?: number;
  total_seconds?: number;
}
/** A token as admins see it. */
export interface Token {
  id: string;
  name: string;
  scope: "admin" | "metrics" | "read" | "run";
  state: "expired" | "revoked" | "valid";
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
  used_at: number | null;
}
/** All tokens that there ever were, newest first. */
export interface Tokens {
  tokens: Array<Token>;
}
/** Where something came from: the graph, and the same in readable lines. */
export interface Trace {
  subject: string;
  nodes: Array<Record<string, any>>;
  edges: Array<Edge>;
  chain: Array<string>;
  matched?: string | null;
}
/** How a model's traffic is shared, and what the versions showed. */
export interface Traffic {
  name: string;
  serving: string;
  canary: Canary | null;
  shadow: Shadow | null;
  watch: Watch;
  versions: Array<VersionTraffic>;
  comparison: RegistryTrafficComparison | null;
}
/** A new training job. */
export interface TrainingCreate {
  /** `local` runs an entry point on this machine, `vastai` on a rented one; `external` is a trainer elsewhere that reports in. */
  backend?: "external" | "local" | "vastai";
  /** One of GET /training-jobs/entry-points. */
  entry_point?: string;
  /** Parameters of the entry point. */
  params?: Record<string, boolean | number | string>;
  name?: string | null;
  /** Made if there is none of that name. */
  experiment?: string;
  tags?: Record<string, string>;
  /** What it is trained on. */
  datasets?: Array<InputCreate>;
  /** Code of an external trainer; the server finds its own. */
  source?: Source | null;
  /** Name to register the model by; its folder's if empty. */
  model?: string;
  rental?: RentalWish | null;
}
/** A job as whoever made it sees it: with what its trainer reports by. */
export interface TrainingCreated {
  id: string;
  name: string;
  backend: "external" | "local" | "vastai";
  entry_point: string;
  params: Record<string, boolean | number | string>;
  experiment_id: string;
  run_id: string;
  created_at: number;
  state?: "cancelled" | "failed" | "lost" | "paused" | "queued" | "running" | "starting" | "succeeded";
  /** Why it is in this state. */
  reason?: string;
  /** Starts of it so far. */
  attempt?: number;
  started_at?: number | null;
  ended_at?: number | null;
  cancel_requested_at?: number | null;
  progress?: TrainingProgress;
  error?: TrainingError | null;
  exit_code?: number | null;
  /** The model version that came of it. */
  model?: string;
  rental?: Rental | null;
  url: string;
  progress_ratio?: number | null;
  eta_seconds?: number | null;
  queue_position?: number | null;
  /** When its trainer last reported. */
  heard_at?: number | null;
  usage?: Usage | null;
  /** The latest value of each. */
  metrics?: Record<string, number | "-Infinity" | "Infinity" | "NaN">;
  log_tail?: Array<string>;
  /** For an external trainer: `X-Job-Secret: SECRET`. */
  secret?: string;
}
/** Why a job failed. */
export interface TrainingError {
  code: string;
  detail: string;
}
/** A training job as clients see it. */
export interface TrainingJob {
  id: string;
  name: string;
  backend: "external" | "local" | "vastai";
  entry_point: string;
  params: Record<string, boolean | number | string>;
  experiment_id: string;
  run_id: string;
  created_at: number;
  state?: "cancelled" | "failed" | "lost" | "paused" | "queued" | "running" | "starting" | "succeeded";
  /** Why it is in this state. */
  reason?: string;
  /** Starts of it so far. */
  attempt?: number;
  started_at?: number | null;
  ended_at?: number | null;
  cancel_requested_at?: number | null;
  progress?: TrainingProgress;
  error?: TrainingError | null;
  exit_code?: number | null;
  /** The model version that came of it. */
  model?: string;
  rental?: Rental | null;
  url: string;
  progress_ratio?: number | null;
  eta_seconds?: number | null;
  queue_position?: number | null;
  /** When its trainer last reported. */
  heard_at?: number | null;
  usage?: Usage | null;
  /** The latest value of each. */
  metrics?: Record<string, number | "-Infinity" | "Infinity" | "NaN">;
  log_tail?: Array<string>;
}
export interface TrainingJobs {
  next?: string | null;
  jobs: Array<TrainingJob>;
}
/** A page of training jobs, newest first. */
export interface TrainingQuery {
  /** States with commas; `active` is all but the ended. */
  state?: string;
  backend?: "external" | "local" | "vastai" | null;
  entry_point?: string;
  /** Id or name. */
  experiment?: string;
  /** Rows on a page. */
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
}
export interface UploadBegin {
  path: string;
  num_parts?: number;
}
export interface UploadBegun {
  upload_id: string;
  credentials: Array<Credential>;
}
export interface UploadEnd {
  path?: string;
  upload_id: string;
}
/** What the processes of a local job use. */
export interface Usage {
  processes: number;
  /** Cores in use: 1.5 is one and a half. */
  cpu_ratio: number;
  rss_bytes: number;
  gpu_memory_bytes?: number | null;
  /** Share of the time that its GPU is busy. */
  gpu_ratio?: number | null;
}
/** What an expression gives at one moment. */
export interface Value {
  /** As it was asked for. */
  name: string;
  /** The PromQL expression behind the name. */
  query: string;
  /** Empty where it cannot be known. */
  unit: string;
  /** Unix seconds. */
  at: number;
  /** Where there is exactly one series. */
  value: number | null;
  series: Array<SeriesValue>;
}
/** Values of one moment. */
export interface Values {
  at: number;
  values: Array<Value>;
}
/** Variations of a picture. What is absent is as in the job that made the picture, if one here did. */
export interface VariationParams {
  /** What it should not show. */
  negative_prompt?: string;
  /** One of the model's styles (`/ai/vocabulary`). */
  style?: string;
  seed?: number | null;
  /** Pictures; picture i has the seed plus i. */
  n?: number;
  steps?: number | null;
  /** heun runs the model twice a step; dpmpp_2m does well with few. */
  sampler?: "dpmpp_2m" | "euler" | "heun" | null;
  guidance_scale?: number | null;
  /** The picture to vary. */
  init_image: string;
  strength?: number | null;
  /** White where `init_image` is drawn anew; black or nothing stays as it is. */
  mask?: string;
  /** A texture that repeats: its edges meet (see `seam_score`). */
  tileable?: boolean;
  outline?: Outline | null;
  /** Upscaling after generating, in the same job. */
  scale?: 1 | 2 | 3 | 4 | 8;
  /** Number of colours, or the colours themselves. */
  palette?: number | Array<string> | null;
  /** A picture whose colours are taken: as many as `palette` says. */
  palette_image?: string;
  /** transparent, or a colour as #rrggbb. */
  background?: string;
  model?: string | null;
  experiment?: string | null;
  prompt?: string | null;
}
/** What was looked at, and what is wrong with it. */
export interface Verification {
  sound: boolean;
  checked: Record<string, number>;
  faults: Array<Fault>;
}
export interface Version {
  name: string;
  version: string;
  creation_timestamp: number;
  last_updated_timestamp: number;
  user_id?: string;
  current_stage: string;
  description?: string | null;
  source: string;
  run_id?: string | null;
  run_link?: string | null;
  model_id?: string | null;
  status: string;
  status_message?: string;
  tags?: Array<KeyValue>;
  aliases?: Array<string>;
}
export interface VersionCreate {
  name: string;
  source: string;
  run_id?: string | null;
  tags?: Array<KeyValue>;
  run_link?: string | null;
  description?: string | null;
  model_id?: string | null;
}
export interface VersionFileAsked {
  name: string;
  version: string;
  path: string;
}
export interface VersionFound {
  model_version: Version;
}
export interface VersionNamed {
  name: string;
  version: string;
}
/** What changes; fields that are left out stay. A tag with null goes; an alias moves from the version that had it. */
export interface VersionPatch {
  description?: string;
  tags?: Record<string, string | null>;
  aliases?: Array<string>;
  /** Who does it; with tokens, the token's name stands instead. */
  by?: string;
}
export interface VersionTag {
  name: string;
  version: string;
  key: string;
  value?: string;
}
export interface VersionTagKey {
  name: string;
  version: string;
  key: string;
}
/** What the jobs of a version showed since the canary or the shadow began; the last thousand count. */
export interface VersionTraffic {
  version: string;
  jobs: number;
  failed: number;
  error_ratio: number;
  /** Time in the engine. */
  latency_p50_seconds: number | null;
  latency_p95_seconds: number | null;
}
export interface VersionUpdate {
  name: string;
  version: string;
  description?: string | null;
}
export interface VersionsFound {
  model_versions?: Array<Version>;
  next_page_token?: string;
}
/** Which model, and which words to look up. */
export interface VocabularyQuery {
  /** By default the one of `generate`. */
  model?: string | null;
  /** A prompt, to see which of its words are known. */
  words?: string;
}
/** When a canary loses its traffic: held against the version in prod over the same time. */
export interface Watch {
  /** Jobs of the canary before anything is judged. */
  min_samples?: number;
  /** Share of its jobs that may fail. */
  max_error_ratio?: number;
  /** How much longer its jobs may take than those in prod, at the 95th percentile. */
  max_latency_ratio?: number | null;
}
/** A word that the model was trained on. */
export interface Word {
  word: string;
  /** Training pictures with it. */
  pictures: number;
  /** The model was found to draw it. */
  documented: boolean;
}
/** An error that the NVIDIA driver reported; its number says what it was. */
export interface XidError {
  gpu: string;
  mig: string;
  xid: number;
  at: number;
}
/** A picture of the first job beside that of the second. */
export interface AiReplayComparison {
  original: string;
  replayed: string;
  same_bytes: boolean;
  same_pixels: boolean;
  /** dB; Infinity where no difference is seen. */
  psnr?: number | "Infinity" | null;
  /** 1 is the same. */
  ssim?: number | null;
  /** Of any channel, of 255. */
  largest_difference?: number | null;
}
/** How far a job is: step or tile k of n, and the whole as a ratio. */
export interface AiProgress {
  step?: number;
  steps?: number;
  ratio?: number;
  stage?: string;
}
/** Which of the alerts that ever fired. */
export interface AlertsHistoryQuery {
  /** As they are now. */
  state?: "all" | "firing" | "resolved";
  /** Of the rule. */
  name?: string;
  severity?: string;
  /** Fired at this time or later, Unix seconds. */
  since?: number;
  /** Fired before this time, Unix seconds. */
  until?: number;
  /** `next` of the page before. */
  cursor?: string;
  /** Alerts on a page. */
  limit?: number;
}
/** The parameters of a query at one time. */
export interface CompatPrometheusInstant {
  /** A PromQL expression. */
  query: string;
  /** Unix seconds or RFC 3339. */
  time?: string;
  /** Seconds, or a duration such as 1h30m. */
  timeout?: string;
  /** How many at most; 0 for all. */
  limit?: string;
  /** Seconds, or a duration such as 1h30m. */
  lookback_delta?: string;
  /** all: say what it cost. */
  stats?: string;
}
export interface MlflowModelLoggedModel {
  info: LoggedModelInfo;
  data: LoggedModelData;
}
/** The answer of a call that only does something. */
export interface MlflowProtocolNothing {
}
export interface MlflowServerNothing {
}
export interface MlflowDataset {
  name: string;
  digest: string;
  source_type?: string;
  source?: string;
  schema?: string | null;
  profile?: string | null;
}
export interface MlflowExperiment {
  experiment_id: string;
  name: string;
  artifact_location: string;
  lifecycle_stage: string;
  last_update_time: number;
  creation_time: number;
  tags?: Array<KeyValue>;
}
export interface MlflowExperimentCreate {
  name: string;
  artifact_location?: string | null;
  tags?: Array<KeyValue>;
}
export interface MlflowRun {
  info: RunInfo;
  data: RunData;
  inputs?: RunInputs;
  outputs?: RunOutputs;
}
export interface MlflowRunCreate {
  experiment_id?: string;
  user_id?: string;
  run_name?: string | null;
  start_time?: number;
  tags?: Array<KeyValue>;
}
/** Values at one time. */
export interface MonitoringRoutesInstant {
  at: number;
  values: Array<Value>;
}
/** What holds for a model; the defaults suit most. */
export interface RegistryPolicyPolicy {
  staging?: Gates;
  prod?: ProdGates;
  watch?: Watch;
  /** How long the version before stays in memory. */
  keep_warm_seconds?: number;
}
/** What a version in shadow made, held against what clients were given. */
export interface RegistryTrafficComparison {
  version: string;
  jobs: number;
  failed: number;
  /** Since the start of the server: it never had the time. */
  skipped: number;
  same_pixels: number;
  /** dB; 100 where nothing differs. */
  psnr_mean: number | null;
  psnr_min: number | null;
  ssim_mean: number | null;
  /** Of the sums of times in the engine. */
  latency_ratio: number | null;
}
/** What was changed on a model, newest first. */
export interface RegistryHistory {
  name: string;
  changes: Array<ChangeRow>;
}
/** What may go. Of a bound, 0 keeps all. */
export interface RetentionPolicy {
  keep_job_days: number;
  keep_jobs: number;
  keep_job_bytes: number;
  restore_days: number;
}
/** What a collection removed, or would remove. */
export interface RetentionReport {
  id: string;
  dry_run: boolean;
  by: string;
  policy: RetentionPolicy;
  started_at: number;
  /** Absent where it did not come to its end. */
  finished_at: number | null;
  /** By kind. */
  totals?: Record<string, Sum>;
  /** Disk space of the files together. */
  bytes?: number;
  /** The first 1000; `totals` counts all. */
  removed?: Array<Removed>;
  /** The first 1000. */
  kept?: Array<Kept>;
  /** Files that nothing names, but so new that something may yet: left. */
  young?: number;
}
/** A dataset, and how many runs read it. */
export interface TrackingDatasetDataset {
  id: string;
  name: string;
  digest: string;
  source_type: string;
  source: string;
  schema: any;
  profile: any;
  created_at: number;
  run_count?: number;
}
/** A model as a run logged it; its files are MLflow's `models:/ID`. */
export interface TrackingLoggedModelRoutesLoggedModel {
  id: string;
  experiment_id: string;
  name: string;
  model_type: string;
  status: "pending" | "ready" | "upload_failed";
  /** The run that made it, or empty. */
  run_id: string;
  params: Record<string, string>;
  tags: Record<string, string>;
  created_at: number;
  updated_at: number;
  deleted_at?: number | null;
  metrics: Array<ModelMetric>;
}
/** An experiment: a named collection of runs. */
export interface TrackingExperiment {
  id: string;
  name: string;
  /** What makes its runs: ai-generate, ai-superres, or user. */
  kind: string;
  description: string;
  tags: Record<string, string>;
  created_at: number;
  headline?: Headline | null;
  deleted_at?: number | null;
  updated_at?: number | null;
  /** Where its clients put files themselves; empty: here. */
  artifact_location?: string;
  run_count?: number;
  last_activity_at?: number | null;
  best?: Best | null;
}
/** A new experiment. */
export interface TrackingExperimentCreate {
  /** A readable name without control characters. */
  name: string;
  description?: string;
  tags?: Record<string, string>;
  headline?: Headline | null;
}
/** A metric's points as columns of equal length, by step, then time. A point sent twice counts once. */
export interface TrackingHistory {
  next?: string | null;
  run_id: string;
  key: string;
  /** Points in the range asked for. */
  total: number;
  /** Whether only the extremes of stretches are here. */
  sampled: boolean;
  steps: Array<number>;
  times: Array<number>;
  values: Array<number | "-Infinity" | "Infinity" | "NaN">;
}
/** A page of the history, or with `points` a picture of all of it. */
export interface TrackingHistoryQuery {
  /** At most so many points, extremes kept; 0 for pages. */
  points?: number;
  /** The axis of a picture, and of from and to. */
  by?: "step" | "time";
  /** First step or time. */
  start?: number | null;
  /** Last step or time. */
  end?: number | null;
  /** Points on a page. */
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
}
/** A run with its params, tags and the latest value of each metric. */
export interface TrackingRun {
  id: string;
  experiment_id: string;
  name: string;
  kind: string;
  status: string;
  created_at: number;
  started_at: number | null;
  ended_at: number | null;
  parent_id?: string | null;
  source?: Source | null;
  deleted_at?: number | null;
  user_id?: string;
  params?: Record<string, string>;
  tags?: Record<string, string>;
  metrics?: Record<string, number | "-Infinity" | "Infinity" | "NaN">;
  system_metrics?: Record<string, number | "-Infinity" | "Infinity" | "NaN">;
  /** Step and time of each latest value. */
  reported?: Record<string, [number, number]>;
  inputs?: Array<Input>;
  models?: Array<ModelLink>;
}
/** A new run, which then is running. */
export interface TrackingRunCreate {
  name?: string | null;
  params?: Record<string, string>;
  tags?: Record<string, string>;
  /** The run that it is part of. */
  parent_id?: string;
  source?: Source | null;
  status?: "running" | "scheduled";
  started_at?: number | null;
}
/** How far a job is. */
export interface TrainingProgress {
  step?: number;
  /** 0 where nobody knows. */
  steps?: number;
  epoch?: number | null;
  epochs?: number | null;
  message?: string;
}
/** What a trainer reports; all of it may be left out, and any of it is a heartbeat. */
export interface TrainingReport {
  /** Made up by the trainer once, with `seq`. */
  session?: string;
  /** Counts up; a report that comes twice counts once. */
  seq?: number;
  metrics?: Array<Point>;
  progress?: TrainingProgress | null;
  params?: Record<string, string>;
  tags?: Record<string, string>;
  /** Lines for the log. */
  log?: Array<string>;
}
export interface Routes {
  /** What is ready. */
  "GET /health": { params: {  }; body: undefined; reply: Health };
  /** The dashboard. */
  "GET /": { params: {  }; body: undefined; reply: null };
  /** A file of the dashboard; `/ui/gfedge.js` is the client module for frontends of your own. */
  "GET /ui/{path}": { params: { path: string }; body: undefined; reply: null };
  /** This interface, as OpenAPI 3.1. */
  "GET /openapi.json": { params: {  }; body: undefined; reply: null };
  /** This interface, as a page to read. */
  "GET /docs": { params: {  }; body: undefined; reply: null };
  /** How that page looks. */
  "GET /docs/style.css": { params: {  }; body: undefined; reply: null };
  /** Turn a prompt into pictures. */
  "POST /ai/generate": { params: {  }; body: GenerateParams; reply: Job };
  /** Upscale a picture: a form with a file, the raw picture with options in the query, or JSON. */
  "POST /ai/superres": { params: { scale?: 2 | 3 | 4 | 8 | null, mode?: "pixel" | "smooth", tileable?: boolean, model?: string | null, experiment?: string | null }; body: SuperresBody; reply: Job };
  /** Jobs, newest first, live ones included. */
  "GET /ml-platform/ai-jobs": { params: { limit?: number, cursor?: string, status?: "cancelled" | "failed" | "queued" | "running" | "succeeded" | null, kind?: "generate" | "sheet" | "superres" | null, model?: string, after?: number | null, before?: number | null }; body: undefined; reply: JobPage };
  /** One job. */
  "GET /ml-platform/ai-jobs/{id}": { params: { id: string }; body: undefined; reply: Job };
  /** Cancel a job. */
  "DELETE /ml-platform/ai-jobs/{id}": { params: { id: string }; body: undefined; reply: Job };
  /** Cancel a job. */
  "POST /ml-platform/ai-jobs/{id}/cancel": { params: { id: string }; body: undefined; reply: Job };
  /** Where a job's pictures came from, as a graph and in words. */
  "GET /ml-platform/ai-jobs/{id}/trace": { params: { id: string }; body: undefined; reply: Trace };
  /** Where an asset came from. */
  "GET /assets/{sha256}/trace": { params: { sha256: string }; body: undefined; reply: Trace };
  /** Where a picture came from: send the file. */
  "POST /trace": { params: {  }; body: undefined; reply: Trace };
  /** Turn many prompts into pictures, a job for each. */
  "POST /ai/generate/batch": { params: {  }; body: GenerateBatch; reply: Batch };
  /** Pictures like one that is here. */
  "POST /ai/variations": { params: {  }; body: VariationParams; reply: Job };
  /** The words and styles that a model knows, and the nearest to others. */
  "GET /ai/vocabulary": { params: { model?: string | null, words?: string }; body: undefined; reply: Known };
  /** Put pictures on one sheet. */
  "POST /ai/sheets": { params: {  }; body: SheetParams; reply: Job };
  /** Where each picture stands on a sheet, as TexturePacker, Godot or Unity have it. */
  "GET /ml-platform/ai-jobs/{id}/atlas": { params: { format?: "godot" | "json" | "unity", id: string }; body: undefined; reply: Atlas };
  /** Run a job again as it was recorded, and compare the results. */
  "POST /ml-platform/ai-jobs/{id}/replay": { params: { id: string }; body: undefined; reply: Replay };
  /** How the result of a job that ran another one again compares. */
  "GET /ml-platform/ai-jobs/{id}/replay": { params: { id: string }; body: undefined; reply: Replay };
  /** The bytes of a picture; immutable, with ETag and ranges. */
  "GET /assets/{sha256}": { params: { sha256: string }; body: undefined; reply: null };
  /** Keep a picture, and all that it came from, whatever the retention policy says. */
  "PUT /assets/{sha256}/pin": { params: { sha256: string }; body: undefined; reply: Pin };
  /** Leave a picture to the retention policy again. */
  "DELETE /assets/{sha256}/pin": { params: { sha256: string }; body: undefined; reply: Pin };
  /** The pictures that stay whatever the retention policy says. */
  "GET /ml-platform/pins": { params: {  }; body: undefined; reply: Pins };
  /** Models, their versions and which one serves; and the folders that were refused. */
  "GET /ml-platform/models": { params: { stage?: "archived" | "dev" | "prod" | "staging" | null, kind?: "generate" | "other" | "superres" | null }; body: undefined; reply: Models };
  /** Register a version: an archive (tar, tar.gz, zip) or a graph as the body, a form with model.toml and its files, or JSON that names a run's artifact or a folder under the models folder. */
  "POST /ml-platform/models": { params: { name?: string | null, version?: string | null, source_run?: string, training_job?: string, dataset?: string, note?: string, by?: string }; body: RegisterBody; reply: ModelVersion };
  /** One model with its versions. */
  "GET /ml-platform/models/{name}": { params: { name: string }; body: undefined; reply: Model };
  /** One version, by its number, its stage or an alias. */
  "GET /ml-platform/models/{name}/versions/{version}": { params: { name: string, version: string }; body: undefined; reply: ModelVersion };
  /** Describe and label a version; what it is never changes. */
  "PATCH /ml-platform/models/{name}/versions/{version}": { params: { name: string, version: string }; body: VersionPatch; reply: ModelVersion };
  /** Remove the files of a version that neither serves nor has jobs; its record stays. */
  "DELETE /ml-platform/models/{name}/versions/{version}": { params: { name: string, version: string }; body: undefined; reply: ModelVersion };
  /** What was changed on a model, by whom, why, and by which figures. */
  "GET /ml-platform/models/{name}/history": { params: { name: string }; body: undefined; reply: RegistryHistory };
  /** Register a version of this model; without a model.toml it takes the manifest of the newest one. */
  "POST /ml-platform/models/{name}/versions": { params: { name: string, version?: string | null, source_run?: string, training_job?: string, dataset?: string, note?: string, by?: string }; body: RegisterBody; reply: ModelVersion };
  /** All files of a version as a tar, which can be registered elsewhere. */
  "GET /ml-platform/models/{name}/versions/{version}/download": { params: { name: string, version: string }; body: undefined; reply: null };
  /** One file of a version, with ETag and ranges. */
  "GET /ml-platform/models/{name}/versions/{version}/files/{file}": { params: { name: string, version: string, file: string }; body: undefined; reply: null };
  /** What its makers wrote about a version. */
  "GET /ml-platform/models/{name}/versions/{version}/card": { params: { name: string, version: string }; body: undefined; reply: ModelCard };
  /** The golden inputs that a version is compared with others on. */
  "GET /ml-platform/models/{name}/versions/{version}/golden": { params: { name: string, version: string }; body: undefined; reply: GoldenInputs };
  /** Move a version to a stage if its gates hold; into prod it is swapped without a failed request. */
  "POST /ml-platform/models/{name}/promote": { params: { name: string }; body: PromoteBody; reply: Promotion };
  /** Put the version that was in prod before there again. */
  "POST /ml-platform/models/{name}/rollback": { params: { name: string }; body: RollbackBody; reply: Promotion };
  /** What a version must show before it comes to a stage. */
  "GET /ml-platform/models/{name}/policy": { params: { name: string }; body: undefined; reply: RegistryPolicyPolicy };
  /** Declare what a version must show; what is left out is as by default. */
  "PUT /ml-platform/models/{name}/policy": { params: { name: string }; body: PolicyBody; reply: RegistryPolicyPolicy };
  /** How a model's traffic is shared, and what its versions showed. */
  "GET /ml-platform/models/{name}/canary": { params: { name: string }; body: undefined; reply: Traffic };
  /** Give a staging version a share of the jobs that name the model alone. */
  "POST /ml-platform/models/{name}/canary": { params: { name: string }; body: CanaryBody; reply: Traffic };
  /** Take the canary's share from it. */
  "DELETE /ml-platform/models/{name}/canary": { params: { reason?: string, by?: string, name: string }; body: undefined; reply: Traffic };
  /** Run a version beside the one in prod: its results are compared, not returned. */
  "POST /ml-platform/models/{name}/shadow": { params: { name: string }; body: ShadowBody; reply: Traffic };
  /** End the shadow. */
  "DELETE /ml-platform/models/{name}/shadow": { params: { reason?: string, by?: string, name: string }; body: undefined; reply: Traffic };
  /** Experiments with their run counts and best values. */
  "GET /ml-platform/experiments": { params: { limit?: number, cursor?: string, name?: string, kind?: string, tag?: string, view?: "active" | "all" | "deleted", order?: "-activity" | "-created" | "-name" | "-runs" | "activity" | "created" | "name" | "runs" }; body: undefined; reply: Experiments };
  /** Make an experiment. */
  "POST /ml-platform/experiments": { params: {  }; body: TrackingExperimentCreate; reply: TrackingExperiment };
  /** One experiment, by id or by name. */
  "GET /ml-platform/experiments/{id}": { params: { id: string }; body: undefined; reply: TrackingExperiment };
  /** Change an experiment's name, description, tags or headline metric. */
  "PATCH /ml-platform/experiments/{id}": { params: { id: string }; body: ExperimentPatch; reply: TrackingExperiment };
  /** Hide an experiment and its runs; its name stays taken. */
  "DELETE /ml-platform/experiments/{id}": { params: { id: string }; body: undefined; reply: TrackingExperiment };
  /** Bring a deleted experiment back, with its runs. */
  "POST /ml-platform/experiments/{id}/restore": { params: { id: string }; body: undefined; reply: TrackingExperiment };
  /** Runs of an experiment, newest first. */
  "GET /ml-platform/experiments/{id}/runs": { params: { limit?: number, cursor?: string, id: string }; body: undefined; reply: Runs };
  /** Begin a run. */
  "POST /ml-platform/experiments/{id}/runs": { params: { id: string }; body: TrackingRunCreate; reply: TrackingRun };
  /** Runs of all experiments, by a filter over params, metrics, tags and attributes. */
  "GET /ml-platform/runs": { params: { limit?: number, cursor?: string, filter?: string, experiment?: string, view?: "active" | "all" | "deleted" }; body: undefined; reply: Runs };
  /** Runs side by side. */
  "GET /ml-platform/runs/compare": { params: { ids: string }; body: undefined; reply: RunComparison };
  /** One run with its params, tags and latest metrics. */
  "GET /ml-platform/runs/{id}": { params: { id: string }; body: undefined; reply: TrackingRun };
  /** End a run, or change its name or tags. */
  "PATCH /ml-platform/runs/{id}": { params: { id: string }; body: RunPatch; reply: TrackingRun };
  /** Hide a run. */
  "DELETE /ml-platform/runs/{id}": { params: { id: string }; body: undefined; reply: TrackingRun };
  /** Bring a deleted run back. */
  "POST /ml-platform/runs/{id}/restore": { params: { id: string }; body: undefined; reply: TrackingRun };
  /** Record points of metrics, params and tags of a run, all or nothing. */
  "POST /ml-platform/runs/{id}/log": { params: { id: string }; body: LogBatch; reply: Logged };
  /** The runs that are part of a run, newest first. */
  "GET /ml-platform/runs/{id}/children": { params: { limit?: number, cursor?: string, id: string }; body: undefined; reply: Runs };
  /** The history of a metric: pages, or a picture of at most so many points. */
  "GET /ml-platform/runs/{id}/metrics/{key}": { params: { points?: number, by?: "step" | "time", start?: number | null, end?: number | null, limit?: number, cursor?: string, id: string, key: string }; body: undefined; reply: TrackingHistory };
  /** What is in a folder of a run's artifacts; of a job's run, its pictures too. */
  "GET /ml-platform/runs/{id}/artifacts": { params: { path?: string, limit?: number, cursor?: string, id: string }; body: undefined; reply: Artifacts };
  /** Store a file of a run; the body is its bytes, `Content-Digest: sha-256=:…:` is checked. */
  "PUT /ml-platform/runs/{id}/artifacts/{path}": { params: { id: string, path: string }; body: undefined; reply: ArtifactRow };
  /** The bytes of a file of a run, with ETag, Repr-Digest and ranges. */
  "GET /ml-platform/runs/{id}/artifacts/{path}": { params: { id: string, path: string }; body: undefined; reply: null };
  /** Take away a file of a run, or a folder with all that is in it. */
  "DELETE /ml-platform/runs/{id}/artifacts/{path}": { params: { id: string, path: string }; body: undefined; reply: ArtifactsGone };
  /** Datasets, newest first. */
  "GET /ml-platform/datasets": { params: { limit?: number, cursor?: string, name?: string, digest?: string }; body: undefined; reply: Datasets };
  /** Make a dataset known; 200 where its name and digest are known already. */
  "POST /ml-platform/datasets": { params: {  }; body: DatasetCreate; reply: TrackingDatasetDataset };
  /** One dataset. */
  "GET /ml-platform/datasets/{id}": { params: { id: string }; body: undefined; reply: TrackingDatasetDataset };
  /** The runs that read a dataset, newest first. */
  "GET /ml-platform/datasets/{id}/runs": { params: { limit?: number, cursor?: string, id: string }; body: undefined; reply: Runs };
  /** Record which datasets a run reads. */
  "POST /ml-platform/runs/{id}/inputs": { params: { id: string }; body: InputsCreate; reply: TrackingRun };
  /** Models that runs of an experiment logged. */
  "GET /ml-platform/logged-models": { params: { experiment: string }; body: undefined; reply: LoggedModels };
  /** One logged model with its params, tags and metrics. */
  "GET /ml-platform/logged-models/{id}": { params: { id: string }; body: undefined; reply: TrackingLoggedModelRoutesLoggedModel };
  /** Backups that are there, newest first. */
  "GET /admin/backups": { params: {  }; body: undefined; reply: Backups };
  /** Back up the database and every file that it names, while serving. */
  "POST /admin/backups": { params: {  }; body: BackupRequest; reply: Backup };
  /** Delete a backup. */
  "DELETE /admin/backups/{name}": { params: { name: string }; body: undefined; reply: Backup };
  /** Read every block of the database and every file that it names. */
  "POST /admin/verify": { params: {  }; body: undefined; reply: Verification };
  /** The migrations that made the database's tables, and the room for a copy of it. */
  "GET /admin/schema": { params: {  }; body: undefined; reply: Schema };
  /** The archive: its tables, the export that runs or the last one, when the next is due. */
  "GET /admin/exports": { params: {  }; body: undefined; reply: Archive };
  /** Write what changed since the last export to the archive, as Parquet; goes on after the answer. */
  "POST /admin/exports": { params: {  }; body: ExportRequest; reply: Export };
  /** A file of the archive; `archive.json` names all of them. */
  "GET /admin/exports/{path}": { params: { path: string }; body: undefined; reply: Contents };
  /** What a thing came from and what came of it: `model_version/sprite@1?direction=down&kinds=asset`. */
  "GET /ml-platform/lineage/{kind}/{id}": { params: { direction?: "both" | "down" | "up", depth?: number, kinds?: string, limit?: number, cursor?: string, format?: "graph" | "openlineage" | "prov", kind: string, id: string }; body: undefined; reply: Lineage | Record<string, any> | Array<any> };
  /** All metrics, for Prometheus: as text or OpenMetrics by Accept, gzip. */
  "GET /metrics": { params: {  }; body: undefined; reply: null };
  /** The process answers; nothing else is looked at. */
  "GET /monitoring/health": { params: {  }; body: undefined; reply: Alive };
  /** Whether jobs can be run: models, provider, database, disk, GPU, with reasons. */
  "GET /monitoring/health/ready": { params: {  }; body: undefined; reply: Readiness };
  /** Versions, provider, GPUs, models in memory, queue, storage, history, rates. */
  "GET /monitoring/status": { params: {  }; body: undefined; reply: Status };
  /** All that a first screen shows, in one answer. */
  "GET /monitoring/dashboard-data": { params: {  }; body: undefined; reply: DashboardData };
  /** Values now: by name, or of a PromQL expression, with their units. */
  "GET /monitoring/metrics/instant": { params: { names?: string, query?: string, time?: string, source?: "external" | "internal" }; body: undefined; reply: MonitoringRoutesInstant };
  /** PromQL at one time or over a range, as Prometheus answers it. */
  "GET /monitoring/metrics/prometheus": { params: { query: string, time?: string, start?: string, end?: string, step?: string, source?: "external" | "internal" }; body: undefined; reply: PromAnswer };
  /** The dashboards of the server, and of the Grafana that is set. */
  "GET /monitoring/dashboards": { params: {  }; body: undefined; reply: Dashboards };
  /** A dashboard as Grafana's JSON. */
  "GET /monitoring/dashboards/{uid}": { params: { uid: string }; body: undefined; reply: Record<string, any> };
  /** Every panel of a dashboard of the server, evaluated. */
  "GET /monitoring/dashboards/{uid}/data": { params: { from?: string, to?: string, step?: string, uid: string }; body: undefined; reply: DashboardValues };
  /** A data source and the dashboards' folder, for Grafana's `provisioning`. */
  "GET /monitoring/grafana/provisioning.yaml": { params: {  }; body: undefined; reply: null };
  /** The same with the dashboards: `curl ... | tar xz -C /etc/grafana/provisioning`. */
  "GET /monitoring/grafana/provisioning.tar.gz": { params: {  }; body: undefined; reply: null };
  /** Alerts that are pending or fire now. */
  "GET /monitoring/alerts": { params: { state?: "active" | "firing" | "pending", name?: string, severity?: string, match?: string }; body: undefined; reply: ActiveAlerts };
  /** Alerts that ever fired, newest first. */
  "GET /monitoring/alerts/history": { params: { state?: "all" | "firing" | "resolved", name?: string, severity?: string, since?: number, until?: number, cursor?: string, limit?: number }; body: undefined; reply: AlertPage };
  /** One alert, also after it is over. */
  "GET /monitoring/alerts/{alert_id}": { params: { alert_id: string }; body: undefined; reply: Alert };
  /** Say that you look after an alert: messages about it are not repeated. */
  "POST /monitoring/alerts/{alert_id}/acknowledge": { params: { alert_id: string }; body: Acknowledgement; reply: Alert };
  /** Take an acknowledgement back. */
  "DELETE /monitoring/alerts/{alert_id}/acknowledge": { params: { alert_id: string }; body: undefined; reply: Alert };
  /** Silence exactly this alert for a while. */
  "POST /monitoring/alerts/{alert_id}/silence": { params: { alert_id: string }; body: AlertSilence; reply: ListedSilence };
  /** Silences, also those that ended within a week. */
  "GET /monitoring/silences": { params: {  }; body: undefined; reply: Silences };
  /** Hold messages about the alerts that fulfil all matchers, until a time. */
  "POST /monitoring/silences": { params: {  }; body: NewSilence; reply: ListedSilence };
  /** One silence. */
  "GET /monitoring/silences/{silence_id}": { params: { silence_id: string }; body: undefined; reply: ListedSilence };
  /** End a silence now. */
  "DELETE /monitoring/silences/{silence_id}": { params: { silence_id: string }; body: undefined; reply: ListedSilence };
  /** All rules: how they are, and the faults of files that could not be taken. */
  "GET /monitoring/rules": { params: {  }; body: undefined; reply: RuleGroups };
  /** Read the files of rules and receivers again, as SIGHUP does. */
  "POST /monitoring/rules/reload": { params: {  }; body: undefined; reply: RuleGroups };
  /** Where messages about alerts go, and whether they arrive. */
  "GET /monitoring/receivers": { params: {  }; body: undefined; reply: Receivers };
  /** Send a receiver a message that says it is a test. */
  "POST /monitoring/receivers/{name}/test": { params: { name: string }; body: undefined; reply: ReceiverState };
  /** PromQL at one time. */
  "GET /prometheus/api/v1/query": { params: { query: string, time?: string, timeout?: string, limit?: string, lookback_delta?: string, stats?: string }; body: undefined; reply: Answer };
  /** PromQL at one time. */
  "POST /prometheus/api/v1/query": { params: { query: string, time?: string, timeout?: string, limit?: string, lookback_delta?: string, stats?: string }; body: undefined; reply: Answer };
  /** PromQL over a range of time. */
  "GET /prometheus/api/v1/query_range": { params: { query: string, start: string, end: string, step: string, timeout?: string, limit?: string, lookback_delta?: string, stats?: string }; body: undefined; reply: Answer };
  /** PromQL over a range of time. */
  "POST /prometheus/api/v1/query_range": { params: { query: string, start: string, end: string, step: string, timeout?: string, limit?: string, lookback_delta?: string, stats?: string }; body: undefined; reply: Answer };
  /** Exemplars: there are none. */
  "GET /prometheus/api/v1/query_exemplars": { params: { query: string, start?: string, end?: string }; body: undefined; reply: Answer };
  /** Exemplars: there are none. */
  "POST /prometheus/api/v1/query_exemplars": { params: { query: string, start?: string, end?: string }; body: undefined; reply: Answer };
  /** Label sets of the series that match. */
  "GET /prometheus/api/v1/series": { params: { "match[]"?: Array<string>, start?: string, end?: string, limit?: string }; body: undefined; reply: Answer };
  /** Label sets of the series that match. */
  "POST /prometheus/api/v1/series": { params: { "match[]"?: Array<string>, start?: string, end?: string, limit?: string }; body: undefined; reply: Answer };
  /** Names of labels. */
  "GET /prometheus/api/v1/labels": { params: { "match[]"?: Array<string>, start?: string, end?: string, limit?: string }; body: undefined; reply: Answer };
  /** Names of labels. */
  "POST /prometheus/api/v1/labels": { params: { "match[]"?: Array<string>, start?: string, end?: string, limit?: string }; body: undefined; reply: Answer };
  /** An expression in its usual form. */
  "GET /prometheus/api/v1/format_query": { params: { query: string }; body: undefined; reply: Answer };
  /** An expression in its usual form. */
  "POST /prometheus/api/v1/format_query": { params: { query: string }; body: undefined; reply: Answer };
  /** Values of a label. */
  "GET /prometheus/api/v1/label/{name}/values": { params: { "match[]"?: Array<string>, start?: string, end?: string, limit?: string, name: string }; body: undefined; reply: Answer };
  /** Types, units and help of metrics. */
  "GET /prometheus/api/v1/metadata": { params: { metric?: string, limit?: string, limit_per_metric?: string }; body: undefined; reply: Answer };
  /** Rule groups with the state of their alerts. */
  "GET /prometheus/api/v1/rules": { params: { type?: string, "rule_name[]"?: Array<string>, "rule_group[]"?: Array<string>, "file[]"?: Array<string>, "match[]"?: Array<string>, exclude_alerts?: string, group_limit?: string, group_next_token?: string }; body: undefined; reply: Answer };
  /** Alerts that are pending or firing. */
  "GET /prometheus/api/v1/alerts": { params: { limit?: string, state?: string }; body: undefined; reply: Answer };
  /** Alertmanagers that are notified. */
  "GET /prometheus/api/v1/alertmanagers": { params: { limit?: string, state?: string }; body: undefined; reply: Answer };
  /** What is sampled: this server itself. */
  "GET /prometheus/api/v1/targets": { params: { limit?: string, state?: string }; body: undefined; reply: Answer };
  /** Which version's interface this is. */
  "GET /prometheus/api/v1/status/buildinfo": { params: { limit?: string, state?: string }; body: undefined; reply: Answer };
  /** What the server says of its process. */
  "GET /prometheus/api/v1/status/runtimeinfo": { params: { limit?: string, state?: string }; body: undefined; reply: Answer };
  /** Flags: the limits of queries. */
  "GET /prometheus/api/v1/status/flags": { params: { limit?: string, state?: string }; body: undefined; reply: Answer };
  /** The effective settings, without secrets and paths. */
  "GET /prometheus/api/v1/status/config": { params: { limit?: string, state?: string }; body: undefined; reply: Answer };
  /** How many series there are, by name and label. */
  "GET /prometheus/api/v1/status/tsdb": { params: { limit?: string, state?: string }; body: undefined; reply: Answer };
  /** Whether the server is ready. */
  "GET /prometheus/-/ready": { params: {  }; body: undefined; reply: null };
  /** Whether the server is healthy. */
  "GET /prometheus/-/healthy": { params: {  }; body: undefined; reply: null };
  /** MLflow: make an experiment. */
  "POST /api/2.0/mlflow/experiments/create": { params: {  }; body: MlflowExperimentCreate; reply: ExperimentMade };
  /** MLflow: an experiment, also a deleted one. */
  "GET /api/2.0/mlflow/experiments/get": { params: { experiment_id: string }; body: undefined; reply: ExperimentFound };
  /** MLflow: an experiment by its name. */
  "GET /api/2.0/mlflow/experiments/get-by-name": { params: { experiment_name: string }; body: undefined; reply: ExperimentFound };
  /** MLflow: experiments by a filter. */
  "POST /api/2.0/mlflow/experiments/search": { params: {  }; body: ExperimentSearch; reply: ExperimentsFound };
  /** MLflow: experiments by a filter. */
  "GET /api/2.0/mlflow/experiments/search": { params: { max_results?: number, page_token?: string | null, filter?: string | null, order_by?: Array<string>, view_type?: "ACTIVE_ONLY" | "ALL" | "DELETED_ONLY" }; body: undefined; reply: ExperimentsFound };
  /** MLflow: rename an experiment. */
  "POST /api/2.0/mlflow/experiments/update": { params: {  }; body: ExperimentUpdate; reply: MlflowProtocolNothing };
  /** MLflow: hide an experiment and its runs. */
  "POST /api/2.0/mlflow/experiments/delete": { params: {  }; body: ExperimentId; reply: MlflowProtocolNothing };
  /** MLflow: bring an experiment back. */
  "POST /api/2.0/mlflow/experiments/restore": { params: {  }; body: ExperimentId; reply: MlflowProtocolNothing };
  /** MLflow: tag an experiment. */
  "POST /api/2.0/mlflow/experiments/set-experiment-tag": { params: {  }; body: ExperimentTag; reply: MlflowProtocolNothing };
  /** MLflow: take a tag away. */
  "POST /api/2.0/mlflow/experiments/delete-experiment-tag": { params: {  }; body: ExperimentTagKey; reply: MlflowProtocolNothing };
  /** MLflow: begin a run. */
  "POST /api/2.0/mlflow/runs/create": { params: {  }; body: MlflowRunCreate; reply: RunFound };
  /** MLflow: a run with its params, tags and latest metrics. */
  "GET /api/2.0/mlflow/runs/get": { params: { run_id?: string, run_uuid?: string }; body: undefined; reply: RunFound };
  /** MLflow: end or rename a run. */
  "POST /api/2.0/mlflow/runs/update": { params: {  }; body: RunUpdate; reply: RunInfoFound };
  /** MLflow: hide a run. */
  "POST /api/2.0/mlflow/runs/delete": { params: {  }; body: RunId; reply: MlflowProtocolNothing };
  /** MLflow: bring a run back. */
  "POST /api/2.0/mlflow/runs/restore": { params: {  }; body: RunId; reply: MlflowProtocolNothing };
  /** MLflow: record a point of a metric. */
  "POST /api/2.0/mlflow/runs/log-metric": { params: {  }; body: MetricLog; reply: MlflowProtocolNothing };
  /** MLflow: record a param. */
  "POST /api/2.0/mlflow/runs/log-parameter": { params: {  }; body: ParamLog; reply: MlflowProtocolNothing };
  /** MLflow: record metrics, params and tags, all or nothing. */
  "POST /api/2.0/mlflow/runs/log-batch": { params: {  }; body: BatchLog; reply: MlflowProtocolNothing };
  /** MLflow: tag a run. */
  "POST /api/2.0/mlflow/runs/set-tag": { params: {  }; body: TagSet; reply: MlflowProtocolNothing };
  /** MLflow: take a tag away. */
  "POST /api/2.0/mlflow/runs/delete-tag": { params: {  }; body: TagKey; reply: MlflowProtocolNothing };
  /** MLflow: note a model that an older client logged. */
  "POST /api/2.0/mlflow/runs/log-model": { params: {  }; body: ModelLog; reply: MlflowProtocolNothing };
  /** MLflow: runs by a filter, in an order, page by page. */
  "POST /api/2.0/mlflow/runs/search": { params: {  }; body: RunSearch; reply: RunsFound };
  /** MLflow: all points of a metric, or a page of them. */
  "GET /api/2.0/mlflow/metrics/get-history": { params: { run_id?: string, run_uuid?: string, metric_key: string, max_results?: number | null, page_token?: string | null }; body: undefined; reply: MetricsFound };
  /** MLflow: points of a metric of many runs. */
  "GET /api/2.0/mlflow/metrics/get-history-bulk": { params: { run_id?: Array<string>, metric_key?: string | null, max_results?: number }; body: undefined; reply: MetricsFound };
  /** MLflow: a sample of a metric's points for each run. */
  "GET /api/2.0/mlflow/metrics/get-history-bulk-interval": { params: { run_ids: Array<string>, metric_key: string, start_step?: number | null, end_step?: number | null, max_results?: number }; body: undefined; reply: MetricsFound };
  /** MLflow: datasets that runs of experiments read. */
  "POST /api/2.0/mlflow/experiments/search-datasets": { params: {  }; body: DatasetsAsked; reply: DatasetsFound };
  /** MLflow: link datasets and models that a run reads. */
  "POST /api/2.0/mlflow/runs/log-inputs": { params: {  }; body: InputsLog; reply: MlflowProtocolNothing };
  /** MLflow: link models that a run made. */
  "POST /api/2.0/mlflow/runs/outputs": { params: {  }; body: OutputsLog; reply: MlflowProtocolNothing };
  /** MLflow: what is in a folder. */
  "GET /api/2.0/mlflow-artifacts/artifacts": { params: { path?: string }; body: undefined; reply: FilesFound };
  /** MLflow: store a file. */
  "PUT /api/2.0/mlflow-artifacts/artifacts/{path}": { params: { path: string }; body: undefined; reply: MlflowProtocolNothing };
  /** MLflow: the bytes of a file, with ranges. */
  "GET /api/2.0/mlflow-artifacts/artifacts/{path}": { params: { path: string }; body: undefined; reply: null };
  /** MLflow: take a file away, or a folder. */
  "DELETE /api/2.0/mlflow-artifacts/artifacts/{path}": { params: { path: string }; body: undefined; reply: MlflowProtocolNothing };
  /** MLflow: what is in a folder of a run. */
  "GET /api/2.0/mlflow/artifacts/list": { params: { run_id?: string, run_uuid?: string, path?: string }; body: undefined; reply: FilesFound };
  /** MLflow: a file of a run, by its id and path. */
  "GET /get-artifact": { params: { run_id?: string, run_uuid?: string, path: string }; body: undefined; reply: null };
  /** MLflow: store a small file of a run. */
  "POST /ajax-api/2.0/mlflow/upload-artifact": { params: { run_uuid?: string, path?: string }; body: undefined; reply: MlflowProtocolNothing };
  /** MLflow: a file of a registered version. */
  "GET /model-versions/get-artifact": { params: { name: string, version: string, path: string }; body: undefined; reply: null };
  /** MLflow: begin a file that comes in parts. */
  "POST /api/2.0/mlflow-artifacts/mpu/create/{path}": { params: { path: string }; body: UploadBegin; reply: UploadBegun };
  /** MLflow: put the parts together. */
  "POST /api/2.0/mlflow-artifacts/mpu/complete/{path}": { params: { path: string }; body: UploadEnd; reply: MlflowProtocolNothing };
  /** MLflow: give an upload up. */
  "POST /api/2.0/mlflow-artifacts/mpu/abort/{path}": { params: { path: string }; body: UploadEnd; reply: MlflowProtocolNothing };
  /** MLflow: one part of a file. */
  "PUT /api/2.0/mlflow-artifacts/mpu/parts/{upload_id}/{number}": { params: { upload_id: string, number: string }; body: undefined; reply: MlflowProtocolNothing };
  /** MLflow: begin a logged model. */
  "POST /api/2.0/mlflow/logged-models": { params: {  }; body: LoggedModelCreate; reply: LoggedModelFound };
  /** MLflow: logged models by a filter. */
  "POST /api/2.0/mlflow/logged-models/search": { params: {  }; body: LoggedModelSearch; reply: LoggedModelsFound };
  /** MLflow: a logged model with its params, tags and metrics. */
  "GET /api/2.0/mlflow/logged-models/{model_id}": { params: { model_id: string, allow_deleted?: boolean }; body: undefined; reply: LoggedModelFound };
  /** MLflow: say that a logged model is there, or failed. */
  "PATCH /api/2.0/mlflow/logged-models/{model_id}": { params: { model_id: string }; body: LoggedModelFinalize; reply: LoggedModelFound };
  /** MLflow: hide a logged model. */
  "DELETE /api/2.0/mlflow/logged-models/{model_id}": { params: { model_id: string }; body: LoggedModelId; reply: MlflowProtocolNothing };
  /** MLflow: tag a logged model. */
  "PATCH /api/2.0/mlflow/logged-models/{model_id}/tags": { params: { model_id: string }; body: LoggedModelTags; reply: MlflowProtocolNothing };
  /** MLflow: take a tag away. */
  "DELETE /api/2.0/mlflow/logged-models/{model_id}/tags/{key}": { params: { model_id: string, key: string }; body: LoggedModelTagKey; reply: MlflowProtocolNothing };
  /** MLflow: record params of a logged model. */
  "POST /api/2.0/mlflow/logged-models/{model_id}/params": { params: { model_id: string }; body: LoggedModelParams; reply: MlflowProtocolNothing };
  /** MLflow: what is in a folder of a logged model. */
  "GET /api/2.0/mlflow/logged-models/{model_id}/artifacts/directories": { params: { model_id: string, artifact_directory_path?: string }; body: undefined; reply: LoggedModelFiles };
  /** MLflow: make a registered model, yet without versions. */
  "POST /api/2.0/mlflow/registered-models/create": { params: {  }; body: ModelCreate; reply: ModelFound };
  /** MLflow: a registered model with its newest versions. */
  "GET /api/2.0/mlflow/registered-models/get": { params: { name: string }; body: undefined; reply: ModelFound };
  /** MLflow: registered models by a filter. */
  "GET /api/2.0/mlflow/registered-models/search": { params: { filter?: string | null, max_results?: number | null, order_by?: Array<string>, page_token?: string | null }; body: undefined; reply: ModelsFound };
  /** MLflow: describe a registered model. */
  "PATCH /api/2.0/mlflow/registered-models/update": { params: {  }; body: ModelUpdate; reply: ModelFound };
  /** MLflow: rename a registered model that is not run here. */
  "POST /api/2.0/mlflow/registered-models/rename": { params: {  }; body: ModelRename; reply: ModelFound };
  /** MLflow: take a registered model away. */
  "DELETE /api/2.0/mlflow/registered-models/delete": { params: {  }; body: ModelNamed; reply: MlflowProtocolNothing };
  /** MLflow: tag a registered model. */
  "POST /api/2.0/mlflow/registered-models/set-tag": { params: {  }; body: ModelTag; reply: MlflowProtocolNothing };
  /** MLflow: take a tag away. */
  "DELETE /api/2.0/mlflow/registered-models/delete-tag": { params: {  }; body: ModelTagKey; reply: MlflowProtocolNothing };
  /** MLflow: the newest version of each stage. */
  "POST /api/2.0/mlflow/registered-models/get-latest-versions": { params: {  }; body: LatestAsked; reply: VersionsFound };
  /** MLflow: the newest version of each stage. */
  "GET /api/2.0/mlflow/registered-models/get-latest-versions": { params: { name: string, stages?: Array<string> }; body: undefined; reply: VersionsFound };
  /** MLflow: register a version; an ONNX graph that fits is run here. */
  "POST /api/2.0/mlflow/model-versions/create": { params: {  }; body: VersionCreate; reply: VersionFound };
  /** MLflow: a version. */
  "GET /api/2.0/mlflow/model-versions/get": { params: { name: string, version: string }; body: undefined; reply: VersionFound };
  /** MLflow: versions by a filter. */
  "GET /api/2.0/mlflow/model-versions/search": { params: { filter?: string | null, max_results?: number | null, order_by?: Array<string>, page_token?: string | null }; body: undefined; reply: VersionsFound };
  /** MLflow: describe a version. */
  "PATCH /api/2.0/mlflow/model-versions/update": { params: {  }; body: VersionUpdate; reply: VersionFound };
  /** MLflow: take a version away. */
  "DELETE /api/2.0/mlflow/model-versions/delete": { params: {  }; body: VersionNamed; reply: MlflowProtocolNothing };
  /** MLflow: tag a version. */
  "POST /api/2.0/mlflow/model-versions/set-tag": { params: {  }; body: VersionTag; reply: MlflowProtocolNothing };
  /** MLflow: take a tag away. */
  "DELETE /api/2.0/mlflow/model-versions/delete-tag": { params: {  }; body: VersionTagKey; reply: MlflowProtocolNothing };
  /** MLflow: where the files of a version are. */
  "GET /api/2.0/mlflow/model-versions/get-download-uri": { params: { name: string, version: string }; body: undefined; reply: DownloadUri };
  /** MLflow: promote a version, if its gates hold. */
  "POST /api/2.0/mlflow/model-versions/transition-stage": { params: {  }; body: StageAsked; reply: VersionFound };
  /** MLflow: name a version; `prod`, `champion` and `staging` promote it. */
  "POST /api/2.0/mlflow/registered-models/alias": { params: {  }; body: AliasSet; reply: MlflowProtocolNothing };
  /** MLflow: the version of an alias. */
  "GET /api/2.0/mlflow/registered-models/alias": { params: { name: string, alias: string }; body: undefined; reply: VersionFound };
  /** MLflow: take an alias away. */
  "DELETE /api/2.0/mlflow/registered-models/alias": { params: {  }; body: AliasNamed; reply: MlflowProtocolNothing };
  /** MLflow: what this server can do. */
  "GET /api/2.0/mlflow/server-info": { params: {  }; body: undefined; reply: ServerInfo };
  /** MLflow: the version of its protocol. */
  "GET /version": { params: {  }; body: undefined; reply: null };
  /** MLflow: what this server does not do, told in its form. */
  "GET /api/2.0/mlflow/{path}": { params: { path: string }; body: undefined; reply: MlflowServerNothing };
  /** MLflow: what this server does not do, told in its form. */
  "POST /api/2.0/mlflow/{path}": { params: { path: string }; body: undefined; reply: MlflowServerNothing };
  /** MLflow: what this server does not do, told in its form. */
  "PUT /api/2.0/mlflow/{path}": { params: { path: string }; body: undefined; reply: MlflowServerNothing };
  /** MLflow: what this server does not do, told in its form. */
  "PATCH /api/2.0/mlflow/{path}": { params: { path: string }; body: undefined; reply: MlflowServerNothing };
  /** MLflow: what this server does not do, told in its form. */
  "DELETE /api/2.0/mlflow/{path}": { params: { path: string }; body: undefined; reply: MlflowServerNothing };
  /** MLflow: what this server does not do with files, told in its form. */
  "GET /api/2.0/mlflow-artifacts/{path}": { params: { path: string }; body: undefined; reply: MlflowServerNothing };
  /** MLflow: what this server does not do with files, told in its form. */
  "POST /api/2.0/mlflow-artifacts/{path}": { params: { path: string }; body: undefined; reply: MlflowServerNothing };
  /** MLflow: what this server does not do with files, told in its form. */
  "PUT /api/2.0/mlflow-artifacts/{path}": { params: { path: string }; body: undefined; reply: MlflowServerNothing };
  /** MLflow: what this server does not do with files, told in its form. */
  "PATCH /api/2.0/mlflow-artifacts/{path}": { params: { path: string }; body: undefined; reply: MlflowServerNothing };
  /** MLflow: what this server does not do with files, told in its form. */
  "DELETE /api/2.0/mlflow-artifacts/{path}": { params: { path: string }; body: undefined; reply: MlflowServerNothing };
  /** Who is asking. */
  "GET /auth/session": { params: {  }; body: undefined; reply: Session };
  /** Log a browser in, by a token or the code of a setup link; answers with a cookie. */
  "POST /auth/session": { params: {  }; body: Login; reply: Session };
  /** Log this browser out. */
  "DELETE /auth/session": { params: {  }; body: undefined; reply: Session };
  /** A ticket that opens one WebSocket, for pages of other origins. */
  "POST /auth/ws-ticket": { params: {  }; body: undefined; reply: Ticket };
  /** All tokens, without their secrets. */
  "GET /admin/tokens": { params: {  }; body: undefined; reply: Tokens };
  /** Make a token; its text is shown this once. */
  "POST /admin/tokens": { params: {  }; body: NewToken; reply: MadeToken };
  /** Revoke a token, and log out who logged in with it. */
  "DELETE /admin/tokens/{id}": { params: { id: string }; body: undefined; reply: Token };
  /** What admins did, newest first. */
  "GET /admin/audit": { params: { limit?: number, cursor?: string }; body: undefined; reply: AuditPage };
  /** Training jobs, newest first. */
  "GET /ml-platform/training-jobs": { params: { state?: string, backend?: "external" | "local" | "vastai" | null, entry_point?: string, experiment?: string, limit?: number, cursor?: string }; body: undefined; reply: TrainingJobs };
  /** Start a training job: durable when acknowledged; takes an Idempotency-Key. */
  "POST /ml-platform/training-jobs": { params: {  }; body: TrainingCreate; reply: TrainingCreated };
  /** What can be trained here, with which parameters, and what is missing for it. */
  "GET /ml-platform/training-jobs/entry-points": { params: {  }; body: undefined; reply: EntryPoints };
  /** One training job: state, progress, metrics, use of the machine, end of its log. */
  "GET /ml-platform/training-jobs/{id}": { params: { id: string }; body: undefined; reply: TrainingJob };
  /** Cancel a training job. */
  "DELETE /ml-platform/training-jobs/{id}": { params: { id: string }; body: undefined; reply: TrainingJob };
  /** Cancel a training job. */
  "POST /ml-platform/training-jobs/{id}/cancel": { params: { id: string }; body: undefined; reply: TrainingJob };
  /** The log of a training job, from an offset on or by Range; `follow=true` goes on until it ends. */
  "GET /ml-platform/training-jobs/{id}/log": { params: { offset?: number, limit?: number, follow?: boolean, id: string }; body: undefined; reply: null };
  /** Metrics, progress, log lines and heartbeat of a trainer; needs the job's secret. */
  "POST /ml-platform/training-jobs/{id}/report": { params: { id: string }; body: TrainingReport; reply: Heard };
  /** A sign of life of a trainer; needs the job's secret. */
  "POST /ml-platform/training-jobs/{id}/heartbeat": { params: { id: string }; body: undefined; reply: Heard };
  /** How a training ended, and where its model is; needs the job's secret. */
  "POST /ml-platform/training-jobs/{id}/finish": { params: { id: string }; body: Finish; reply: Heard };
  /** Store a file of the job's run; needs the job's secret. */
  "PUT /ml-platform/training-jobs/{id}/artifacts/{path}": { params: { id: string, path: string }; body: undefined; reply: ArtifactRow };
  /** The bytes of a file of the job's run, as a checkpoint to go on from; needs the job's secret. */
  "GET /ml-platform/training-jobs/{id}/artifacts/{path}": { params: { id: string, path: string }; body: undefined; reply: null };
  /** The module by which a training script reports, one file; needs the job's secret. */
  "GET /ml-platform/training-jobs/{id}/report.py": { params: { id: string }; body: undefined; reply: null };
  /** Remove what the retention policy lets go and nothing needs; with `dry_run` (the default) only tell. */
  "POST /ml-platform/gc": { params: {  }; body: CollectionRequest; reply: RetentionReport };
  /** The last hundred collections and what they removed, newest first. */
  "GET /ml-platform/gc": { params: {  }; body: undefined; reply: Collections };
  /** The settings that this server runs with, and their defaults. */
  "GET /admin/settings": { params: {  }; body: undefined; reply: AllSettings };
  /** Read gfedge.toml and whatever else can change without a restart again, as SIGHUP does. */
  "POST /admin/reload": { params: {  }; body: undefined; reply: Reloads };
}

export interface Streams {
  "ai-jobs": {
    "snapshot": JobsNow;
    "job.queued": Job;
    "job.started": Job;
    "job.progress": JobProgress;
    "job.preview": Preview;
    "job.ended": Job;
    "queue.moved": QueueMoved;
  };
  "experiments": {
    "snapshot": ExperimentsNow;
    "experiment.created": ExperimentRow;
    "experiment.changed": ExperimentRow;
    "run.created": TrackingRun;
    "run.changed": TrackingRun;
    "run.logged": RunLogged;
    "run.ended": TrackingRun;
  };
  "metrics": {
    "snapshot": Values;
    "values": Values;
    "value": Value;
  };
  "alerts": {
    "snapshot": AlertsSnapshot;
    "alert.pending": Alert;
    "alert.firing": Alert;
    "alert.resolved": Alert;
    "alert.dropped": Alert;
    "alert.acknowledged": Alert;
    "silence.created": ListedSilence;
    "silence.begun": ListedSilence;
    "silence.ended": ListedSilence;
  };
  "training-jobs": {
    "job.created": TrainingJob;
    "job.changed": TrainingJob;
    "job.ended": TrainingJob;
    "job.progress": any;
    "job.metrics": any;
    "job.log": any;
    "job.usage": any;
  };
}

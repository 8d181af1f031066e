// node example.mjs http://localhost:8501 sinusoid
import { Client, ServingError } from "./tfmeta_client.mjs";

const [url = "http://localhost:8501", model = "sinusoid"] = process.argv.slice(2);
const client = new Client(url, model);
const support = {
  support_inputs: [[-4.0], [-2.5], [0.0], [1.5], [3.0]],
  support_targets: [[1.5], [-1.2], [0.0], [2.0], [0.3]],
};
const query_inputs = [[-1.0], [1.0]];

try {
  const answer = await client.adaptAndPredict({ ...support, query_inputs });
  console.log("predictions", JSON.stringify(answer.predictions));
  console.log("support loss by inner step", JSON.stringify(answer.support_loss));

  const adapted = await client.adapt(support);
  const again = await client.predictAdapted(adapted, query_inputs);
  console.log("adapted once", JSON.stringify(again.predictions ?? again));
} catch (error) {
  if (!(error instanceof ServingError)) throw error;
  console.error(`error ${error.status}: ${error.message}`);
  process.exitCode = 1;
}

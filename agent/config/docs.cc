// SPDX-License-Identifier: Apache-2.0
#include "agent/config/docs.h"

#include <algorithm>

#include "agent/config/keys.h"

namespace plimsoll::agent {
namespace {

constexpr std::string_view kHead =
    R"(# Configuration

`plimsoll run --config FILE` and `plimsoll agent --config FILE` read a YAML file; the node agent's
comes from a ConfigMap. Sections and dotted names mean the same: `memory: {step: 64Mi}` and
`memory.step: 64Mi`. Every key is optional. Sizes are written as in Kubernetes (`512Mi`, `4Gi`, `1M`),
durations as `200ms`, `30s`, `5m`, `1h`. A value that begins with `!` or `*` needs quotes.

A file with an error is refused as a whole, and every error in it is named with its line, what was
found and what is allowed. `plimsoll config check FILE` does the same without starting anything, and
`plimsoll config explain KEY` prints one row of the tables below.

The node agent reads the file again when it changes. A bad file changes nothing: the last good one
stays in force, and a metric and a Kubernetes Event say so. Keys marked with * count from the next start on.

This page is written by `render_config_docs()` from the table in `agent/config/key_table.cc`; a test
compares the two.
)";

void render(std::span<const ConfigKey> keys, std::string& text) {
  text += "| key | kind | default | allowed | meaning |\n|---|---|---|---|---|\n";
  for (const ConfigKey& key : keys) {
    const std::optional<std::string> value = value_text(key, Config{});
    std::string fallback(key.otherwise);
    if (value) fallback = value->empty() ? "empty" : "`" + *value + "`";
    std::string allowed = allowed_text(key);
    if (allowed.empty()) allowed = "see meaning";
    text.append("| `").append(key.name).append(key.at_start ? "`\\* | " : "` | ");
    text.append(kind_text(key)).append(" | ").append(fallback).append(" | ");
    text.append(allowed).append(" | ").append(key.summary).append(" |\n");
  }
}

}  // namespace

std::string render_config_docs() {
  const std::span<const ConfigKey> all = config_keys();
  std::string text(kHead);
  text += "\n## Of `plimsoll run` and `plimsoll agent`\n";
  render(all.first(all.size() - node_config_keys().size()), text);
  text += "\n## Of `plimsoll agent`\n";
  render(node_config_keys(), text);
  return text;
}

}  // namespace plimsoll::agent

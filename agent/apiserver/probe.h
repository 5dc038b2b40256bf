// SPDX-License-Identifier: Apache-2.0
//
// What the API server and the Node object say once: whether and how pods are resized there, what
// the node may give, whether we have the rights. A thread asks until it is told, at the start and
// again when the slow loop has reason to believe that the server is another one (after it was
// away). Between that it asks for nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "kube/client.h"
#include "kube/discovery.h"
#include "kube/node.h"

namespace plimsoll::agent {

struct ApiFacts {
  kube::ServerVersion version;
  kube::ResizePath path = kube::ResizePath::kNone;
  std::optional<kube::Node> node;  // absent: it could not be read; `trouble` says why
  std::optional<bool> may_resize;  // absent: the server did not say
  std::string trouble;             // what could not be learnt, for the log

  bool operator==(const ApiFacts&) const = default;
};

class ApiProbe {
 public:
  static Result<std::unique_ptr<ApiProbe>> start(std::unique_ptr<kube::Client> client,
                                                 std::string node_name, std::uint64_t seed);
  // Ends the request under way, stops and joins the thread.
  ~ApiProbe();
  ApiProbe(const ApiProbe&) = delete;
  ApiProbe& operator=(const ApiProbe&) = delete;

  // The slow loop's side.
  void ask_again();
  std::optional<ApiFacts> take();
  // Readable when take() has something.
  int fact_fd() const;

 private:
  struct Impl;
  explicit ApiProbe(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// One round of questions over `send`. An error: the server is of no use now, ask again later.
using SendRequest = std::function<kube::Reply(const kube::Request&)>;
Result<ApiFacts> ask_api(const SendRequest& send, const std::string& node_name);

}  // namespace plimsoll::agent

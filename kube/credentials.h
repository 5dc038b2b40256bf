// SPDX-License-Identifier: Apache-2.0
//
// What a client shows to the API server and what it trusts: bearer token, client certificate, CA.
// Files are read again now and then, for the kubelet renews tokens and CA bundles under the same
// path (it swaps the `..data` link). kube/client uses it.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::kube {

// Where one credential comes from: a file, which is read again, or a text, which stays. Both
// empty: the credential is absent.
struct CredentialSource {
  std::string file;
  std::string text;

  bool operator==(const CredentialSource&) const = default;
  bool absent() const { return file.empty() && text.empty(); }
};

struct CredentialSources {
  CredentialSource ca;  // PEM; absent: the system's roots
  CredentialSource token;
  CredentialSource certificate;  // PEM, with its chain
  CredentialSource key;          // PEM, not encrypted

  bool operator==(const CredentialSources&) const = default;
};

// What was read; an absent credential is empty, a present one never is.
struct Credentials {
  std::string ca;
  std::string token;
  std::string certificate;
  std::string key;

  bool operator==(const Credentials&) const = default;
};

// Blocks on the files. kMalformed: one is empty, is no PEM, or is a token that no header can carry.
Result<Credentials> read_credentials(const CredentialSources& sources);

// The credentials in use. A file that cannot be read later on leaves the last good ones in place:
// they may well be valid, and the API server has the last word.
class CredentialStore {
 public:
  static Result<CredentialStore> open(CredentialSources sources, MonotonicTime now,
                                      Nanoseconds largest_age = std::chrono::seconds(60));

  const Credentials& current() const { return current_; }

  // Reads again what is older than the largest age; reload() reads at once, as after a 401.
  // True: current() is not what it was.
  bool refresh(MonotonicTime now);
  bool reload(MonotonicTime now);

  // Re-reads that failed since open(), and what the last one said.
  std::uint64_t failures() const { return failures_; }
  const std::string& last_failure() const { return last_failure_; }

 private:
  CredentialSources sources_;
  Credentials current_;
  Nanoseconds largest_age_{};
  MonotonicTime read_at_;
  std::uint64_t failures_ = 0;
  std::string last_failure_;
};

}  // namespace plimsoll::kube

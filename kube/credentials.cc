// SPDX-License-Identifier: Apache-2.0
#include "kube/credentials.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/file.h"

namespace plimsoll::kube {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

Result<std::string> read(const CredentialSource& source, std::string_view what) {
  if (source.absent()) return std::string();
  std::string text = source.text;
  if (!source.file.empty()) {
    auto read = read_file(source.file);
    if (!read) return tl::unexpected(read.error());
    text = std::move(*read);
  }
  if (trimmed(text).empty()) {
    // An empty bearer would make us anonymous, an empty CA would trust the system's roots.
    return fail(Code::kMalformed, std::string(what) + " is empty: " + source.file);
  }
  return text;
}

Result<std::string> read_pem(const CredentialSource& source, std::string_view what) {
  auto text = read(source, what);
  if (text && !text->empty() && text->find("-----BEGIN ") == std::string::npos) {
    return fail(Code::kMalformed, std::string(what) + " is not PEM: " + source.file);
  }
  return text;
}

Result<std::string> read_token(const CredentialSource& source) {
  auto text = read(source, "the token");
  if (!text) return text;
  std::string token(trimmed(*text));
  if (std::any_of(token.begin(), token.end(), [](char c) { return c <= ' ' || c > '~'; })) {
    return fail(Code::kMalformed,
                "the token has a character that no header can carry: " + source.file);
  }
  return token;
}

}  // namespace

Result<Credentials> read_credentials(const CredentialSources& sources) {
  auto ca = read_pem(sources.ca, "the CA");
  if (!ca) return tl::unexpected(ca.error());
  auto token = read_token(sources.token);
  if (!token) return tl::unexpected(token.error());
  auto certificate = read_pem(sources.certificate, "the client certificate");
  if (!certificate) return tl::unexpected(certificate.error());
  auto key = read_pem(sources.key, "the client key");
  if (!key) return tl::unexpected(key.error());
  if (certificate->empty() != key->empty()) {
    return fail(Code::kMalformed, "a client certificate and its key need each other");
  }
  return Credentials{std::move(*ca), std::move(*token), std::move(*certificate), std::move(*key)};
}

Result<CredentialStore> CredentialStore::open(CredentialSources sources, MonotonicTime now,
                                              Nanoseconds largest_age) {
  auto credentials = read_credentials(sources);
  if (!credentials) return tl::unexpected(credentials.error());
  CredentialStore store;
  store.sources_ = std::move(sources);
  store.current_ = std::move(*credentials);
  store.largest_age_ = largest_age;
  store.read_at_ = now;
  return store;
}

bool CredentialStore::refresh(MonotonicTime now) {
  return now - read_at_ >= largest_age_ && reload(now);
}

bool CredentialStore::reload(MonotonicTime now) {
  read_at_ = now;  // also of a failure: no storm of reads
  auto credentials = read_credentials(sources_);
  if (!credentials) {
    ++failures_;
    last_failure_ = credentials.error().message;
    return false;
  }
  if (*credentials == current_) return false;
  current_ = std::move(*credentials);
  return true;
}

}  // namespace plimsoll::kube

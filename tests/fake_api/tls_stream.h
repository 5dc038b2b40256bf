// SPDX-License-Identifier: Apache-2.0
//
// Stream: the bytes of one accepted connection, plain or through OpenSSL. The descriptor is the
// caller's. Used by HttpServer.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fake_api/certificates.h"

namespace plimsoll::test {

class Stream {
 public:
  virtual ~Stream() = default;

  // 0 at the end or when it broke.
  virtual std::size_t read(char* buffer, std::size_t size) = 0;
  virtual bool write(std::string_view bytes) = 0;
  // A clean end.
  virtual void close() = 0;
  virtual std::string client_name() const { return {}; }
  virtual std::vector<std::string> client_groups() const { return {}; }
};

std::unique_ptr<Stream> plain_stream(int fd);

class TlsServer {
 public:
  // Client certificates that `client_authority` (PEM) signed tell who the client is; others end
  // the handshake; none is asked for when it is empty.
  TlsServer(const KeyPair& pair, const std::string& client_authority);
  ~TlsServer();
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  // None when the handshake failed.
  std::unique_ptr<Stream> accept(int fd) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll::test

# Leafwright for Nix: the program, the domain's closures, and a NixOS module that links one closure into a machine.
#
# Nothing here evaluates what Leafwright decides. What NixOS must know while it evaluates (host name, system) comes from
# the same TOML that Leafwright reads; a closure is only ever linked, never read back, so no import from a derivation.
{
  description = "A declarative machine provisioner for domains on NATS";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      lib = nixpkgs.lib;
      eachSystem = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ];
      toml = file: builtins.fromTOML (builtins.readFile file);

      # "oak" → the table of machines/oak.toml
      named = directory:
        lib.mapAttrs' (file: _: lib.nameValuePair (lib.removeSuffix ".toml" file) (toml (directory + "/${file}")))
          (lib.filterAttrs (file: kind: kind == "regular" && lib.hasSuffix ".toml" file) (builtins.readDir directory));
      machines = named ./machines;
      hardware = named ./hardware;
      systemOf = machine: "${hardware.${machine.hardware}.arch}-linux";

      # What Leafwright reads, and nothing else: an edit of the README builds nothing anew.
      domain = lib.fileset.toSource {
        root = ./.;
        fileset = lib.fileset.unions (
          [ ./domain.toml ./machines ./modules ./hardware ./people ./events ./contracts ]
          ++ lib.optional (builtins.pathExists ./identity) ./identity
        );
      };

      program = pkgs: pkgs.rustPlatform.buildRustPackage {
        pname = "leafwright";
        version = (toml ./Cargo.toml).package.version;
        src = lib.fileset.toSource {
          root = ./.;
          fileset = lib.fileset.unions [ ./Cargo.toml ./Cargo.lock ./build.rs ./src ./modules ./templates ./docs ./examples ./tests ];
        };
        cargoLock.lockFile = ./Cargo.lock;
        # The tests start nats-servers and belong to `.ci/run`.
        doCheck = false;
        postInstall = ''
          mkdir -p $out/lib/leafwright
          mv $out/bin/leafwright-demo $out/lib/leafwright/
        '';
        meta.mainProgram = "leafwright";
      };

      # All machines in one derivation: a thousand cost seconds, where a derivation each costs minutes.
      closures = pkgs: pkgs.runCommand "leafwright-closures" { nativeBuildInputs = [ (program pkgs) ]; } ''
        leafwright build --domain ${domain} --all --out $out
      '';
      closure = pkgs: name: pkgs.runCommand "leafwright-${name}" { nativeBuildInputs = [ (program pkgs) ]; } ''
        leafwright build --domain ${domain} ${name} --out $out
      '';
    in
    {
      packages = eachSystem (system:
        let pkgs = nixpkgs.legacyPackages.${system};
        in {
          default = program pkgs;
          closures = closures pkgs;
        });

      checks = eachSystem (system:
        let pkgs = nixpkgs.legacyPackages.${system};
        in {
          domain = pkgs.runCommand "leafwright-check" { nativeBuildInputs = [ (program pkgs) ]; } ''
            leafwright check --domain ${domain}
            touch $out
            :
          '';
        });

      lib = { inherit machines hardware systemOf; };

      # `leafwright.machine = "pi";` makes a NixOS machine the machine of that name.
      #
      # It links the closure's units and configuration, file by file: /etc/leafwright/credentials must stay a directory of
      # the machine's own, because secrets stay where they were made. It does not place them, it does not put nats-server
      # where the unit looks for it, and it installs no `packages`; that is the machine's part.
      nixosModules.default = { config, lib, pkgs, ... }:
        let
          name = config.leafwright.machine;
          built = closure pkgs name;
        in
        {
          options.leafwright.machine = lib.mkOption {
            type = lib.types.nullOr (lib.types.enum (builtins.attrNames machines));
            default = null;
            description = "The machine of the domain that this one is; null for none.";
          };

          config = lib.mkIf (name != null) {
            networking.hostName = lib.mkDefault name;
            environment.etc."nats/nats-server.json".source = "${built}/etc/nats/nats-server.json";
            environment.etc."leafwright/ca.pem".source = "${built}/etc/leafwright/ca.pem";
            environment.etc."leafwright/services".source = "${built}/etc/leafwright/services";
            systemd.packages = [ built ];
            systemd.tmpfiles.packages = [ built ];
            # NixOS does not read the closure's sysusers.d.
            users.groups.nats = { };
            users.users.nats = { isSystemUser = true; group = "nats"; home = "/var/lib/nats"; };
            # NixOS drops the `*.wants` of packages, so the target is wanted here.
            systemd.targets.leafwright.wantedBy = [ "multi-user.target" ];
          };
        };
    };
}

# As much of nixpkgs as flake.nix uses, so that it can be evaluated without it: what comes out are names, not derivations.
let
  lib = rec {
    genAttrs = names: f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) names);
    nameValuePair = name: value: { inherit name value; };
    mapAttrs' = f: set: builtins.listToAttrs (map (name: f name set.${name}) (builtins.attrNames set));
    filterAttrs = f: set: removeAttrs set (builtins.filter (name: !(f name set.${name})) (builtins.attrNames set));
    hasSuffix = suffix: text:
      let cut = builtins.stringLength text - builtins.stringLength suffix;
      in cut >= 0 && builtins.substring cut (-1) text == suffix;
    removeSuffix = suffix: text:
      if hasSuffix suffix text
      then builtins.substring 0 (builtins.stringLength text - builtins.stringLength suffix) text
      else text;
    optional = condition: value: if condition then [ value ] else [ ];
    fileset = {
      unions = paths: map (path: if builtins.pathExists path then path else throw "${toString path} does not exist") paths;
      toSource = { root, fileset }: builtins.deepSeq fileset "/source";
    };
    mkOption = option: option;
    mkDefault = value: value;
    mkIf = condition: value: if condition then value else { };
    types = { nullOr = type: type; enum = names: names; };
  };

  pkgs = {
    rustPlatform.buildRustPackage = package: builtins.deepSeq package.src "/${package.pname}-${package.version}";
    runCommand = name: _: script: builtins.deepSeq script "/${name}";
  };

  flake = (import ../../flake.nix).outputs {
    self = { };
    nixpkgs = { inherit lib; legacyPackages = { x86_64-linux = pkgs; aarch64-linux = pkgs; }; };
  };
  module = name: flake.nixosModules.default { inherit lib pkgs; config.leafwright.machine = name; };
in
{
  systems = builtins.mapAttrs (_: flake.lib.systemOf) flake.lib.machines;
  inherit (flake) packages checks;
  names = (module null).options.leafwright.machine.type;
  none = (module null).config;
  configurations = builtins.mapAttrs (name: _: (module name).config) flake.lib.machines;
}
